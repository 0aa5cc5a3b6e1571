"""What happens in Teach: split, preview, apply, undo, files of lessons, and what comes over from the chat."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from app import words
from app.desk import TEACH, Form, Trial
from app.events.common import AT_ONCE, ONE, QUICK, STREAM, explained, tab_of, warn
from app.events.knowledge import Knowledge
from app.panels.chat import ChatPanel
from app.panels.teach import TaughtChip, TeachPanel
from app.present.common import count, note, progress_bar
from app.present.teaching import (
    conflict_choices,
    doubt,
    last_change,
    plan_html,
    proposal_rows,
    report_card,
    said_html,
    states_html,
)
from app.session import Session
from app.studying import Study
from app.wishes import first_drawn
from qfcore.errors import LessonError, NotFound, QFError
from qfcore.lesson import Lesson, check_lesson
from qfcore.standing import LEARNED
from qfcore.store.records import LessonRecord
from qfcore.teach import Preview

_OFF, _ON = {"interactive": False}, {"interactive": True}
_TO_ANSWER = """(draft) => draft || setTimeout(() => {  // the tab is drawn first; who types already is left alone
  if (!document.activeElement?.closest("#teach-fact, #teach-question"))
    document.querySelector("#teach-answer textarea, #teach-answer input")?.focus();
}, 300)"""
CARD = 8
"""Parts of the report card: what a preview shows."""


class TeachEvents:
    """Handlers of the teacher's desk."""

    def __init__(
        self, session: Session, chat_id: gr.State, tabs: gr.Tabs, chat: ChatPanel, teach: TeachPanel, spoken: TaughtChip,
        doubtful: gr.Button, knowledge: Knowledge,
    ) -> None:  # fmt: skip
        self._session, self._desk = session, session.desk
        self._chat_id, self._tabs, self._chat, self._teach, self._knowledge = chat_id, tabs, chat, teach, knowledge
        self._spoken, self._doubtful = spoken, doubtful
        self._following: dict[str, Study] = {}

    def wire(self, page: gr.Blocks) -> None:
        """Connect every control."""
        self._wire_form()
        self._wire_file(page)
        t, chips, after = self._teach, [self._teach.chip.text, self._spoken.text], self._knowledge.after
        applied = [
            t.number, t.replaces, t.shown, t.apply, t.thorough, t.status, t.said, t.many.states, t.many.progress, t.applied,
            *chips,
        ]  # fmt: skip
        t.apply.click(explained(self.apply), [t.number, *self._form], applied, **QUICK).success(**after)
        for button in (t.chip.undo, self._spoken.undo):
            button.click(explained(self.undo), t.applied, [t.applied, *chips], **QUICK).success(**after)
        answer_as_draft = gr.State(False)
        self._chat.messages.like(
            explained(self.from_chat), [self._chat.drawn, self._chat_id],
            [self._tabs, t.fact, t.question, t.said, t.answer, t.proposals, t.status, t.report, t.apply, answer_as_draft],
            **QUICK,
        ).success(None, answer_as_draft, js=_TO_ANSWER).success(
            self.ready_for_draft, answer_as_draft, t.stop, **QUICK
        ).success(
            self.split_draft, [answer_as_draft, t.fact], [t.proposals, t.stop, t.status], show_progress_on=[t.status], **ONE
        )  # fmt: skip

    def _wire_form(self) -> None:
        t = self._teach
        self._form = [t.fact, t.question, t.answer, t.method, t.proposals, t.replaces]
        self._card = [t.number, t.report, t.replaces, t.shown, t.apply, t.thorough, t.stop, t.status]
        begun = t.preview.click(explained(self.begin), self._form, t.stop, **QUICK)
        preview = {"inputs": [*self._form, t.shown], "outputs": self._card, "show_progress_on": [t.report], **ONE}
        begun.success(self.preview, **preview)
        t.thorough.click(self.begin_thorough, None, [t.method, t.stop], **QUICK).success(
            self.preview, **preview
        )
        started = t.split.click(self.ready, None, t.stop, **QUICK)
        started.success(self.split, t.fact, [t.proposals, t.stop, t.status], show_progress_on=[t.status], **ONE)
        t.fact.input(lambda: gr.Dataframe(value=[], visible=False), None, t.proposals, **AT_ONCE)
        t.question.input(lambda: "", None, t.said, **AT_ONCE)  # another question: what it said answered the one before
        t.stop.click(self.stop, **AT_ONCE)
        typed = [t.fact.change, t.question.change, t.answer.change, t.method.change]  # Teach again, too
        for edited in (*typed, t.proposals.input, t.replaces.input):
            edited(self.stale, t.number, [t.apply, t.report, t.status], trigger_mode="always_last", **AT_ONCE)

    def _wire_file(self, page: gr.Blocks) -> None:
        t, many = self._teach, self._teach.many
        planned = [many.lessons, many.plan, many.start]
        many.file.upload(explained(self.read), [many.file, t.method], planned, **QUICK)
        many.file.clear(self.forget_file, None, planned, **QUICK)
        t.method.change(explained(self.plan), [many.lessons, t.method], [many.plan, many.start], **QUICK)
        work = [*self._card, many.start, many.stop, many.progress, many.states, many.again, many.lessons]
        follow = {"fn": self.follow_study, "inputs": None, "outputs": work, **STREAM}
        begun = [many.start, many.stop]
        started = many.start.click(
            explained(self.begin_study), [many.lessons, t.method, many.on_conflict], begun, **QUICK
        )
        started.success(**follow)
        applied = [t.number, t.apply, t.applied, t.chip.text, self._spoken.text]
        many.again.click(explained(self.apply_and_study_again), None, [*applied, *begun], **QUICK).success(
            **self._knowledge.after
        ).success(**follow)
        self._doubtful.click(explained(self.study_doubtful), None, [self._tabs, many.fold, *begun], **QUICK).success(
            **follow
        )
        many.stop.click(self._desk.stop_study, **AT_ONCE)
        page.load(**follow)
        join = {**follow, "fn": self.join_study}  # one that another tab began
        self._knowledge.refresh.click(**join)
        started.failure(**join)

    # -- one lesson, or some ------------------------------------------------------------------------------------

    def from_chat(self, drawn: str | None, chosen: int | None, data: gr.LikeData) -> tuple:
        """Bring an answer over to the form: to be taught as it is, or to be corrected."""
        index = data.index[0] if isinstance(data.index, (list, tuple)) else data.index
        question, said = self._session.question_and_answer(chosen, index, first_drawn(drawn))
        wrong = data.liked == words.WRONG
        return (
            gr.Tabs(selected="teach"), "" if wrong else said[:2000], question[:500] if wrong else "",
            said_html(said[:2000]) if wrong else "", "", gr.Dataframe(value=[], visible=False),
            note(words.WRONG_HINT if wrong else words.FROM_CHAT), _no_report(), gr.Button(**_OFF), not wrong,
        )  # fmt: skip

    def split_draft(
        self, wanted: bool, text: str | None, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - found by Gradio
    ) -> tuple:  # fmt: skip
        """Propose the facts of an answer that was brought over to be taught."""
        return self.split(text, request, progress) if wanted else (gr.skip(),) * 3

    def split(
        self, text: str | None, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008 - found by Gradio
    ) -> tuple:
        """Propose the facts of a text as lessons."""
        try:
            found = self._desk.split(text or "", tab_of(request), lambda f, t: progress(f, desc=t))
        except QFError as error:
            warn(error)
            return gr.skip(), gr.Button(**_OFF), note(str(error))
        return gr.Dataframe(value=proposal_rows(found), visible=True), gr.Button(**_OFF), ""

    def ready(self, request: gr.Request) -> gr.Button:
        """Work begins, and can be stopped."""
        self._desk.ready(tab_of(request), TEACH)
        return gr.Button(**_ON)

    def ready_for_draft(self, wanted: bool, request: gr.Request) -> gr.Button:
        """The same, where an answer was brought over to be split."""
        return self.ready(request) if wanted else gr.skip()

    def begin(
        self, text: str, question: str, answer: str, method: str, proposals: list, _replaces: list, request: gr.Request
    ) -> gr.Button:
        """Check the form before the work begins."""
        form_of(text, question, answer, method, proposals)
        return self.ready(request)

    def begin_thorough(self, request: gr.Request) -> tuple:
        """Choose the thorough method, to preview with it."""
        return "thorough", self.ready(request)

    def preview(
        self, text: str, question: str, answer: str, method: str, proposals: list, replaces: list[str] | None,
        shown: list[str], request: gr.Request, progress: gr.Progress = gr.Progress(),  # noqa: B008 - found by Gradio
    ) -> tuple:  # fmt: skip
        """Learn on a trial copy and show the report card."""
        try:
            form = form_of(text, question, answer, method, proposals)
            trial = self._desk.preview(form, replaces or [], shown, tab_of(request), lambda f, t: progress(f, desc=t))
        except QFError as error:
            return _failed(error)
        return _card(trial.number, trial.made, method, trial)

    def stale(self, number: int | None) -> tuple:
        """The form was edited: a preview made of it before cannot be applied."""
        if not self._desk.is_of_form(number):
            return (gr.skip(),) * 3
        return gr.Button(**_OFF), gr.HTML(elem_classes="qf-stale"), note(words.STALE)

    def stop(self, request: gr.Request) -> None:
        """Stop the work in progress; nothing was changed."""
        self._desk.cancel(tab_of(request), TEACH)

    def apply(self, number: int | None, *fields: object) -> tuple:
        """Make the preview live."""
        file = gr.skip() if self._desk.is_of_form(number) else ""
        version, preview = self._desk.apply(number, lambda: form_of(*fields), fields[-1] or [])
        shown = last_change(version, preview.report.to_dict())
        return (
            None, gr.CheckboxGroup(choices=[], value=[], visible=False), [], gr.Button(words.APPLY, **_OFF),
            gr.Button(visible=False), "", "", file, file, version.number, shown, shown,
        )  # fmt: skip

    def undo(self, number: int | None) -> tuple:
        """Go back to what was known before the version that the chip names."""
        if number is None:
            raise NotFound(words.NOTHING_TO_UNDO)
        undone = self._session.engine.undo(expect_live=number)
        shown = last_change(undone, None)
        return undone.number, shown, shown

    # -- files --------------------------------------------------------------------------------------------------

    def read(self, path: str | None, method: str) -> tuple:
        """Read an uploaded file, and say what teaching it would do."""
        if not path:
            return self.forget_file()
        try:
            lessons = self._desk.read(Path(path))
        except LessonError as error:
            return [], note(str(error)), gr.Button(**_OFF)
        return lessons, *self.plan(lessons, method)

    def plan(self, lessons: list[Lesson], method: str) -> tuple:
        """What teaching a file's lessons would do."""
        if not lessons:
            return gr.skip(), gr.skip()
        found, study = self._desk.plan(lessons, method), self._desk.study
        idle = study is None or not study.running
        return plan_html(found, method), gr.Button(interactive=idle and bool(found.new or found.resumed))

    def forget_file(self) -> tuple:
        """No file is chosen any more."""
        return [], "", gr.Button(**_OFF)

    def begin_study(self, lessons: list[Lesson], method: str, on_conflict: str) -> tuple:
        """Begin to study a file's lessons."""
        self._desk.begin_study(lessons, method, on_conflict)
        return gr.Button(**_OFF), gr.Button(**_ON)

    def apply_and_study_again(self) -> tuple:
        """Make a file live, and begin to study thoroughly what did not stick."""
        version = self._desk.apply_and_study_again()
        shown = last_change(version, self._session.engine.store.report(version))
        return None, gr.Button(words.APPLY, **_OFF), version.number, shown, shown, gr.Button(**_OFF), gr.Button(**_ON)

    def study_doubtful(self) -> tuple:
        """Begin to study thoroughly the live lessons that did not stick, and show how it gets on."""
        self._desk.study_doubtful()
        return gr.Tabs(selected="teach"), gr.Accordion(open=True), gr.Button(**_OFF), gr.Button(**_ON)

    def join_study(self, request: gr.Request) -> Iterator[tuple]:
        """Follow the study in progress, if this tab does not yet."""
        study = self._desk.study
        if study is not None and study.running and self._following.get(tab_of(request)) is not study:
            yield from self.follow_study(request)
        else:
            yield (gr.skip(),) * (CARD + 6)

    def follow_study(self, request: gr.Request) -> Iterator[tuple]:
        """Show how the file in progress gets on, whichever tab began it; then its report card."""
        study, nothing = self._desk.study, (gr.skip(),) * CARD
        if study is None:
            yield *nothing, *(gr.skip(),) * 6  # a generator without a value would empty what it could show
            return
        watched, tab = study.running, tab_of(request)
        self._following[tab] = study
        try:
            for _ in study.follow():
                drawn = progress_bar(study.fraction, study.text), states_html(study.states, study.of), ""
                yield *nothing, gr.Button(**_OFF), gr.Button(**_ON), *drawn, study.lessons
        finally:
            self._following.pop(tab, None)
        if study.error is not None and watched:  # who loads the page later finds it in the panel
            warn(study.error)
        yield *_studied(study, len(self._desk.not_stuck())), study.lessons


def _studied(study: Study, weak: int) -> tuple:
    """Values of the card and the file's controls when its work has ended. weak: lessons that can be taught once more."""
    again, off = gr.Button(**_ON), gr.Button(**_OFF)
    if study.preview is None:
        text = f"{study.error} {words.KEPT_UNTIL_NOW}" if study.states else str(study.error)
        return *(gr.skip(),) * CARD, again, off, note(text), states_html(study.states, study.of), ""
    states = states_html(study.states, study.of, study.preview.report, again=weak > 0)
    offer = words.APPLY_AND_AGAIN.format(lessons=count(weak))
    return *_card(study.number, study.preview, study.method), again, off, note(words.DONE), states, offer


def form_of(text: str | None, question: str | None, answer: str | None, method: str, proposals: list, *_: object) -> Form:
    """The ticked proposals, or the form. A question with its answer is a fact, too.

    Raises:
        LessonError: there is nothing to teach, or a field cannot be taught.
    """
    rows = [row for row in proposals or [] if len(row) >= 3 and any(isinstance(cell, str) and cell for cell in row)]
    if not rows:
        text, question, answer = (value or "" for value in (text, question, answer))
        if not text.strip() and question.strip() and answer.strip():
            text = f"{question.strip()} {answer.strip()}"
        return Form((check_lesson(text, question, answer),), method)
    ticked = [row for row in rows if str(row[0]).lower() == "true"]
    if not ticked:
        raise LessonError(words.NOTHING_TICKED)
    return Form(tuple(check_lesson(str(row[1] or ""), str(row[2] or "")) for row in ticked), method)


def _card(number: int | None, made: Preview, method: str, trial: Trial | None = None) -> tuple:
    """Values of `card` for a preview that came out. trial: with the contradictions that can be declined."""
    status = made.report.status
    conflicts: tuple[LessonRecord, ...] = trial.conflicts if trial else ()
    choices = gr.CheckboxGroup(
        choices=conflict_choices(conflicts), value=list(trial.replaces if trial else ()), visible=bool(conflicts)
    )
    apply = gr.Button(words.APPLY if status == LEARNED else words.APPLY_ANYWAY, **_ON)
    return (
        number, gr.HTML(report_card(made.report, made.replaced), elem_classes=[]), choices, [r.id for r in conflicts], apply,
        gr.Button(visible=status != LEARNED and method == "fast" and trial is not None), gr.Button(**_OFF),
        doubt(status, method),
    )  # fmt: skip


def _failed(error: QFError) -> tuple:
    """Values of `card` for work that failed or was stopped."""
    warn(error)
    hidden, off = gr.CheckboxGroup(choices=[], value=[], visible=False), gr.Button(**_OFF)
    return None, _no_report(), hidden, [], off, gr.Button(visible=False), off, note(str(error))


def _no_report() -> gr.HTML:
    return gr.HTML(f'<p class="qf-quiet">{words.NO_REPORT}</p>', elem_classes=[])
