"""What happens in Lessons: ask now, ask all, teach again, forget, erase."""

import gradio as gr

from app import words
from app.desk import ASK
from app.events.common import AT_ONCE, ONE, QUICK, explained, tab_of
from app.events.knowledge import Knowledge
from app.panels.lessons import LessonsPanel
from app.panels.teach import TeachPanel
from app.present.common import chip, count, more_text
from app.present.teaching import lessons_table
from app.session import Session
from qfcore.errors import Cancelled, NotFound


class LessonsEvents:
    """Handlers of the table of lessons."""

    def __init__(
        self, session: Session, tabs: gr.Tabs, panel: LessonsPanel, teach: TeachPanel, knowledge: Knowledge
    ) -> None:
        self._session, self._tabs, self._panel, self._teach, self._knowledge = session, tabs, panel, teach, knowledge

    def wire(self) -> None:
        """Connect every control."""
        panel, teach, after = self._panel, self._teach, self._knowledge.after
        found = [panel.table, panel.more]
        panel.search.change(
            self.find_anew, panel.search, [panel.pages, *found], trigger_mode="always_last", **QUICK
        )
        panel.more.click(self.find_more, [panel.search, panel.pages], [panel.pages, *found], **QUICK)
        form = [self._tabs, teach.fact, teach.question, teach.said, teach.answer, teach.method, teach.proposals]
        opened = gr.State("")
        panel.table.click(
            explained(self.act), None, [panel.chip, opened, *form], show_progress_on=[panel.chip], **ONE
        ).success(**after).success(self.find, [panel.search, panel.pages, opened], found, **QUICK)
        panel.ask_all.click(self.ready, None, panel.stop, **QUICK).success(
            explained(self.ask_all), panel.search, [panel.chip, panel.stop], show_progress_on=[panel.chip], **ONE
        ).success(**after)
        panel.stop.click(self.stop, **AT_ONCE)

    def find(self, search: str | None, pages: int = 1, opened: str = "") -> tuple[str, str]:
        """The table of the lessons that contain a text, and what the button for more says.

        opened: id of the one whose evidence is shown.
        """
        rows = self._session.desk.lessons(search or "")
        return lessons_table(rows, bool(search), opened, pages), more_text(len(rows), pages)

    def find_anew(self, search: str | None) -> tuple[int, str, str]:
        """Another search begins with the first page."""
        return 1, *self.find(search)

    def find_more(self, search: str | None, pages: int) -> tuple[int, str, str]:
        """One page more."""
        return pages + 1, *self.find(search, pages + 1)

    def act(self, data: gr.EventData) -> tuple:
        """Do what the pressed button says."""
        action, reference = str(data.action), str(data.lesson)
        nothing = (gr.skip(),) * 7
        engine, desk = self._session.engine, self._session.desk
        if action == "ask":
            desk.check(reference)
            return "", reference, *nothing
        if action == "again":
            lesson = desk.lesson(reference).lesson
            form = lesson.text, lesson.question, "", lesson.answer, "thorough", gr.Dataframe(value=[], visible=False)
            return "", "", gr.Tabs(selected="teach"), *form
        if action == "forget":
            version = engine.forget(reference)
            return chip(words.FORGOTTEN.format(number=version.number)), "", *nothing
        if action == "erase":
            versions = engine.erase(reference)
            text = words.ERASED.format(count=versions, number=engine.store.live().number)
            return chip(text), "", *nothing
        raise NotFound(words.NO_ACTION.format(action=action))

    def ready(self, request: gr.Request) -> gr.Button:
        """Asking begins, and can be stopped."""
        self._session.desk.ready(tab_of(request), ASK)
        return gr.Button(interactive=True)

    def ask_all(
        self, search: str | None, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008 - found by Gradio
    ) -> tuple:
        """Ask about every lesson that is shown; what was asked until a stop is kept."""
        done, form = 0, words.ASKED_ALL
        try:
            for _ in self._session.desk.check_all(search or "", tab_of(request), lambda f, t: progress(f, desc=t)):
                done += 1
        except Cancelled:
            form = words.ASKED_SOME
        return chip(form.format(lessons=count(done))), gr.Button(interactive=False)

    def stop(self, request: gr.Request) -> None:
        """Stop asking about all lessons."""
        self._session.desk.cancel(tab_of(request), ASK)
