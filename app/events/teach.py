"""What happens in Teach: split, preview, apply, undo, files of lessons, and what comes over from the chat."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from app import words
from app.events.common import AT_ONCE, ONE, QUICK, SECONDS_SHOWN, STREAM, explained, tab_of
from app.events.knowledge import Knowledge
from app.panels.chat import ChatPanel
from app.panels.teach import TeachPanel
from app.present.common import chip, note, progress_note
from app.present.teaching import lesson_choices, plan_html, proposal_rows, report_card, states_html
from app.session import Session
from qfcore.bulk import LessonState
from qfcore.errors import LessonError, QFError
from qfcore.lesson import Lesson, check_lesson
from qfcore.teach import Preview

_OFF, _ON = {"interactive": False}, {"interactive": True}


class TeachEvents:
    """Handlers of the teacher's desk."""

    def __init__(
        self, session: Session, chat_id: gr.State, tabs: gr.Tabs, chat: ChatPanel, teach: TeachPanel, knowledge: Knowledge
    ) -> None:
        self._session, self._desk = session, session.desk
        self._chat_id, self._tabs, self._chat, self._teach, self._knowledge = chat_id, tabs, chat, teach, knowledge

    def wire(self) -> None:
        """Connect every control."""
        t, after = self._teach, self._knowledge.after
        fields = [t.fact, t.question, t.answer, t.method, t.replaces, t.proposals]
        card = [t.number, t.report, t.apply, t.thorough, t.stop, t.status, t.chip, t.undo]
        begun = t.preview.click(
            explained(self.begin), [t.fact, t.question, t.replaces, t.proposals], [t.replaces, t.stop], **QUICK
        )
        begun.success(self.preview, fields, card, show_progress_on=[t.report], **ONE)
        again = t.thorough.click(lambda: ("thorough", gr.Button(**_ON)), None, [t.method, t.stop], **QUICK)
        again.success(self.preview, fields, card, show_progress_on=[t.report], **ONE)
        started = t.split.click(lambda: gr.Button(**_ON), None, t.stop, **QUICK)
        started.success(self.split, t.fact, [t.proposals, t.stop, t.status], show_progress_on=[t.status], **ONE)
        t.fact.input(lambda: gr.Dataframe(value=[], visible=False), None, t.proposals, **AT_ONCE)
        t.stop.click(self.stop, **AT_ONCE)
        applied = [t.number, t.apply, t.thorough, t.chip, t.undo]
        t.apply.click(explained(self.apply), t.number, applied, **QUICK).success(**after)
        t.undo.click(explained(self.undo), None, [t.chip, t.undo], **QUICK).success(**after)
        t.file.change(explained(self.plan), [t.file, t.method], [t.plan, t.teach_file, t.states], **QUICK)
        t.method.change(explained(self.plan), [t.file, t.method], [t.plan, t.teach_file, t.states], **QUICK)
        many = [*card, t.states, t.teach_file]
        t.teach_file.click(self.teach_file, [t.file, t.method], many, **{**STREAM, "concurrency_limit": 1})
        self._chat.messages.like(
            explained(self.from_chat), self._chat_id,
            [self._tabs, t.fact, t.question, t.answer, t.proposals, t.status, t.report, t.apply, t.chip], **QUICK,
        )  # fmt: skip

    # -- one lesson, or some ------------------------------------------------------------------------------------

    def from_chat(self, chosen: int | None, data: gr.LikeData) -> tuple:
        """Bring an answer over to the form: to be taught as it is, or to be corrected."""
        index = data.index[0] if isinstance(data.index, (list, tuple)) else data.index
        question, said = self._session.question_and_answer(chosen, index)
        wrong = data.liked == words.WRONG
        return (
            gr.Tabs(selected="teach"), "" if wrong else said[:2000], question[:500] if wrong else "", "",
            gr.Dataframe(value=[], visible=False), note(words.WRONG_HINT if wrong else words.FROM_CHAT),
            f'<p class="qf-quiet">{words.NO_REPORT}</p>', gr.Button(**_OFF), "",
        )  # fmt: skip

    def split(
        self, text: str | None, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008 - found by Gradio
    ) -> tuple:
        """Propose the facts of a text as lessons."""
        try:
            found = self._desk.split(text or "", tab_of(request), lambda f, t: progress(f, desc=t))
        except QFError as error:
            gr.Warning(str(error), duration=SECONDS_SHOWN)
            return gr.skip(), gr.Button(**_OFF), note(str(error))
        rows = proposal_rows(found)
        return gr.Dataframe(value=rows, visible=True), gr.Button(**_OFF), ""

    def begin(self, text: str | None, question: str | None, replaces: list[str] | None, proposals: list) -> tuple:
        """Check the form and offer to replace what the lessons contradict."""
        found = {}
        for lesson in _lessons(text, question, "", proposals):
            found |= {r.id: r for r in self._desk.conflicts(lesson.text, lesson.question)}
        choices = lesson_choices(list(found.values()))
        chosen = [i for i in found if i in replaces] if replaces else list(found)
        return gr.CheckboxGroup(choices=choices, value=chosen, visible=bool(found)), gr.Button(**_ON)

    def preview(
        self, text: str, question: str, answer: str, method: str, replaces: list[str], proposals: list, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> tuple:  # fmt: skip
        """Learn on a trial copy and show the report card."""
        try:
            lessons = _lessons(text, question, answer, proposals)
            number, made = self._desk.preview(
                lessons, method, tab_of(request), list(replaces or []), lambda f, t: progress(f, desc=t)
            )
        except QFError as error:
            return _failed(error)
        return _card(number, made, method)

    def stop(self, request: gr.Request) -> None:
        """Stop the work in progress; nothing was changed."""
        self._desk.cancel(tab_of(request))

    def apply(self, number: int | None) -> tuple:
        """Make the preview live."""
        version = self._desk.apply(number)
        text = words.LEARNED_CHIP.format(number=version.number)
        return None, gr.Button(**_OFF), gr.Button(visible=False), chip(text), gr.Button(visible=True)

    def undo(self) -> tuple:
        """Go back to what was known before."""
        version = self._session.engine.undo()
        return chip(words.UNDONE.format(number=version.number)), gr.Button(visible=False)

    # -- files --------------------------------------------------------------------------------------------------

    def plan(self, path: str | None, method: str) -> tuple:
        """Read a file and say what teaching it would do."""
        if not path:
            return "", gr.Button(**_OFF), ""
        try:
            _, found = self._desk.plan(Path(path), method)
        except LessonError as error:
            return note(str(error)), gr.Button(**_OFF), ""
        return plan_html(found, method), gr.Button(interactive=bool(found.new or found.resumed)), ""

    def teach_file(self, path: str | None, method: str, request: gr.Request) -> Iterator[tuple]:
        """Study a file's lessons, showing what becomes of each, then the report card."""
        shown: list[LessonState] = []
        news: queue.Queue[tuple] = queue.Queue()
        tab, nothing = tab_of(request), (gr.skip(),) * 8

        def work() -> None:
            try:
                lessons, _ = self._desk.plan(Path(path or ""), method)
                news.put(("of", len({lesson.id for lesson in lessons})))
                made = self._desk.teach_many(
                    lessons, method, tab, lambda f, t: news.put(("progress", f, t)), lambda s: news.put(("lesson", s))
                )
                news.put(("done", *made))
            except QFError as error:
                news.put(("failed", error))

        threading.Thread(target=work, name="teach-file", daemon=True).start()
        of, status = 0, words.WORKING
        yield *nothing[:4], gr.Button(**_ON), note(status), *nothing[6:], "", gr.Button(**_OFF)
        while True:
            kind, *what = news.get()
            if kind == "of":
                of = what[0]
            elif kind == "progress":
                status = f"{what[0]:.0%} {what[1]}"
            elif kind == "lesson":
                shown.append(what[0])
            elif kind == "failed":
                text = f"{what[0]} {words.KEPT_UNTIL_NOW}" if shown else str(what[0])
                yield *_failed(what[0], text), gr.skip(), gr.Button(**_ON)
                return
            else:
                number, made, states = what
                yield *_card(number, made, method), states_html(states, of), gr.Button(**_OFF)
                return
            while not news.empty() and news.queue[0][0] == "progress":
                status = "{1:.0%} {2}".format(*news.get())
            yield *nothing[:5], progress_note(status), *nothing[6:], states_html(shown, of), gr.skip()


def _lessons(text: str | None, question: str | None, answer: str | None, proposals: list | None) -> list[Lesson]:
    """The ticked proposals, or the form."""
    rows = [row for row in proposals or [] if len(row) >= 3 and any(isinstance(cell, str) and cell for cell in row)]
    if not rows:
        return [check_lesson(text or "", question or "", answer or "")]
    ticked = [row for row in rows if row[0] in (True, "true", "True")]
    if not ticked:
        raise LessonError(words.NOTHING_TICKED)
    return [check_lesson(str(row[1] or ""), str(row[2] or "")) for row in ticked]


def _card(number: int, made: Preview, method: str) -> tuple:
    """Values of `card` for a preview that came out."""
    learned = made.report.learned
    doubt = "" if learned else note(words.NOT_LEARNED)
    return (
        number, report_card(made.report), gr.Button(**_ON), gr.Button(visible=not learned and method == "fast"),
        gr.Button(**_OFF), doubt, "", gr.Button(visible=False),
    )  # fmt: skip


def _failed(error: QFError, text: str = "") -> tuple:
    """Values of `card` for work that failed or was stopped."""
    gr.Warning(str(error), duration=SECONDS_SHOWN)
    off = gr.Button(**_OFF)
    return None, words.NO_REPORT, off, gr.Button(visible=False), off, note(text or str(error)), "", gr.skip()
