"""What happens in Versions: choose, restore, name, switch, compare."""

import gradio as gr

from app import words
from app.events.common import ONE, QUICK, explained
from app.events.knowledge import Knowledge
from app.panels.versions import VersionsPanel
from app.present.common import chip
from app.present.history import answers_diff, lessons_diff, weights_text
from app.present.teaching import lesson_list
from app.session import Session
from qfcore.errors import NotFound


class VersionsEvents:
    """Handlers of the history."""

    def __init__(self, session: Session, panel: VersionsPanel, knowledge: Knowledge) -> None:
        self._session, self._panel, self._knowledge = session, panel, knowledge

    def wire(self) -> None:
        """Connect every control."""
        p, after = self._panel, self._knowledge.after
        p.timeline.click(explained(self.pick), None, p.version, **QUICK)
        shown = [p.knows, p.lessons, p.weights, p.weights_text, p.answers]
        p.version.change(explained(self.choose), [p.version, p.other], shown, **QUICK)
        p.other.change(explained(self.choose), [p.version, p.other], shown, **QUICK)
        p.restore.click(explained(self.restore), p.version, p.chip, **QUICK).success(**after)
        p.tag.click(explained(self.tag), [p.name, p.version], [p.chip, p.name], **QUICK).success(**after)
        p.branch.click(explained(self.branch), [p.name, p.version], [p.chip, p.name], **QUICK).success(**after)
        p.names.click(explained(self.act_on_name), None, p.chip, **QUICK).success(**after)
        p.ask.click(explained(self.ask), [p.version, p.other], p.answers, show_progress_on=[p.answers], **ONE)

    def pick(self, data: gr.EventData) -> int:
        """Choose the version that was clicked in the timeline."""
        return self._session.engine.store.version(str(data.version)).number

    def choose(self, number: int | None, other: int | None) -> tuple:
        """Show what a version knows, and its difference from another one."""
        store = self._session.engine.store
        number = store.live().number if number is None else number
        compared = self._session.desk.compare(number if other is None else other, number, (), lambda *_: None)
        return (
            lesson_list(store.lessons(store.version(number))), lessons_diff(compared.lessons),
            self._weights(compared), weights_text(compared), "",
        )  # fmt: skip

    def _weights(self, compared) -> gr.BarPlot:  # noqa: ANN001
        import pandas

        weights = compared.weights
        rows = [(layer, weights.layers.get(layer, 0.0)) for layer in range(weights.n_layer)]
        return gr.BarPlot(value=pandas.DataFrame(rows, columns=["layer", "change"]))

    def ask(
        self, number: int | None, other: int | None, progress: gr.Progress = gr.Progress()  # noqa: B008 - found by Gradio
    ) -> str:
        """Ask both versions the questions of the lessons that differ, and the unrelated ones."""
        if number is None or other is None:
            raise NotFound("Choose two versions first.")
        return answers_diff(self._session.desk.compare(other, number, None, lambda f, t: progress(f, desc=t)))

    def restore(self, number: int | None) -> str:
        """Make a version's knowledge live again."""
        version = self._session.engine.restore("live" if number is None else number)
        return chip(words.RESTORED.format(number=version.number, old=number))

    def tag(self, name: str | None, number: int | None) -> tuple:
        """Name the chosen version."""
        made = self._session.engine.store.names.tag(name or "", "live" if number is None else number)
        return chip(words.TAGGED.format(name=made.name, number=made.version)), ""

    def branch(self, name: str | None, number: int | None) -> tuple:
        """Begin a branch at the chosen version."""
        made = self._session.engine.store.names.branch(name or "", "live" if number is None else number)
        return chip(words.TAGGED.format(name=made.name, number=made.version)), ""

    def act_on_name(self, data: gr.EventData) -> str:
        """Switch to a branch, or delete a name."""
        names, name = self._session.engine.store.names, str(data.name)
        if data.action == "switch":
            return chip(words.SWITCHED.format(name=name, number=names.switch(name)))
        names.delete(name)
        return chip(words.NAME_DELETED.format(name=name))
