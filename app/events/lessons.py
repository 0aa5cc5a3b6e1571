"""What happens in Lessons: ask now, teach again, forget, erase."""

import gradio as gr

from app import words
from app.events.common import ONE, QUICK, explained
from app.events.knowledge import Knowledge
from app.panels.lessons import LessonsPanel
from app.panels.teach import TeachPanel
from app.present.common import chip
from app.present.teaching import lessons_table
from app.session import Session
from qfcore.errors import NotFound

_CONFIRM = (
    "(...a) => { const last = window.qfLast || {}; "
    "const text = { forget: %r, erase: %r }[last.action]; "
    "if (text && !confirm(text)) throw new Error('kept'); return a; }"
)


class LessonsEvents:
    """Handlers of the table of lessons."""

    def __init__(
        self, session: Session, tabs: gr.Tabs, panel: LessonsPanel, teach: TeachPanel, knowledge: Knowledge
    ) -> None:
        self._session, self._tabs, self._panel, self._teach, self._knowledge = session, tabs, panel, teach, knowledge

    def wire(self) -> None:
        """Connect every control."""
        panel, teach = self._panel, self._teach
        panel.search.change(self.find, panel.search, panel.table, trigger_mode="always_last", **QUICK)
        form = [self._tabs, teach.fact, teach.question, teach.answer, teach.method]
        panel.table.click(
            explained(self.act), panel.search, [panel.chip, panel.table, *form],
            js=_CONFIRM % (words.FORGET_CONFIRM, words.ERASE_CONFIRM), show_progress_on=[panel.chip], **ONE,
        ).success(self.after, panel.search, self._knowledge.outputs, **QUICK)  # fmt: skip

    def find(self, search: str | None, fresh: dict | None = None) -> str:
        """The table of the lessons that contain a text."""
        return lessons_table(self._session.desk.lessons(search or ""), fresh or {}, bool(search))

    def act(self, search: str | None, data: gr.EventData) -> tuple:
        """Do what the pressed button says."""
        action, reference = str(data.action), str(data.lesson)
        nothing = (gr.skip(),) * 5
        engine, desk = self._session.engine, self._session.desk
        if action == "ask":
            return "", self.find(search, {reference: desk.check(reference)}), *nothing
        if action == "again":
            lesson = desk.lesson(reference).lesson
            return "", gr.skip(), gr.Tabs(selected="teach"), lesson.text, lesson.question, lesson.answer, "thorough"
        if action == "forget":
            version = engine.forget(reference)
            return chip(words.FORGOTTEN.format(number=version.number)), self.find(search), *nothing
        if action == "erase":
            count = engine.erase(reference)
            text = words.ERASED.format(count=count, number=engine.store.live().number)
            return chip(text), self.find(search), *nothing
        raise NotFound(f"There is no action {action!r}.")

    def after(self, search: str | None) -> tuple:
        """Everything else that shows the knowledge; the table keeps the evidence that was asked for just now."""
        values = list(self._knowledge.values(search))
        values[self._knowledge.outputs.index(self._panel.table)] = gr.skip()
        return tuple(values)
