"""What happens in Versions: choose, restore, chat with one, name, switch, compare."""

import gradio as gr

from app import words
from app.desk import COMPARE
from app.events.common import AT_ONCE, ONE, QUICK, explained, tab_of
from app.events.knowledge import Knowledge
from app.panels.versions import VersionsPanel
from app.present.common import chip, note
from app.present.history import answers_diff, lessons_diff, restore_text, weights_text
from app.present.teaching import lesson_list
from app.session import Session
from qfcore.errors import Cancelled, NotFound


class VersionsEvents:
    """Handlers of the history. keeping: the event that keeps the chat's settings with the conversation."""

    def __init__(
        self, session: Session, panel: VersionsPanel, knowledge: Knowledge, tabs: gr.Tabs, chat_version: gr.Dropdown,
        keeping: dict,
    ) -> None:  # fmt: skip
        self._session, self._panel, self._knowledge = session, panel, knowledge
        self._tabs, self._chat_version, self._keeping = tabs, chat_version, keeping

    def wire(self) -> None:
        """Connect every control."""
        p, after, pair = self._panel, self._knowledge.after, [self._panel.version, self._panel.other]
        p.timeline.click(explained(self.pick), None, p.version, **QUICK)
        shown = [p.knows, p.restore_text, p.lessons, p.weights, p.weights_text, p.answers]
        # One event: two would race, and the older pair of versions could be drawn last.
        gr.on([p.version.change, p.other.change], explained(self.choose), pair, shown, trigger_mode="always_last", **QUICK)
        p.restore.click(explained(self.restore), p.version, p.chip, **QUICK).success(**after)
        p.chat.click(explained(self.chat_with), p.version, [self._tabs, self._chat_version], **QUICK).success(
            **self._keeping
        )
        p.tag.click(explained(self.tag), [p.name, p.version], [p.chip, p.name], **QUICK).success(**after)
        p.branch.click(explained(self.branch), [p.name, p.version], [p.chip, p.name], **QUICK).success(**after)
        p.names.click(explained(self.act_on_name), None, p.chip, **QUICK).success(**after)
        p.ask.click(self.ready, None, p.stop, **QUICK).success(
            explained(self.ask), pair, [p.answers, p.stop], show_progress_on=[p.answers], **ONE
        )
        p.stop.click(self.stop, **AT_ONCE)
        for trigger in (p.weights_tab.select, p.show_weights.click):
            trigger(explained(self.weigh), pair, [p.weights, p.weights_text], **QUICK)

    def pick(self, data: gr.EventData) -> int:
        """Choose the version that was clicked in the timeline."""
        return self._session.engine.store.version(str(data.version)).number

    def choose(self, number: int | None, other: int | None) -> tuple:
        """Show what a version knows, what restoring it would change, and its lessons against another one's."""
        store = self._session.engine.store
        number = store.live().number if number is None else number
        against = store.diff(number if other is None else other, number)
        return (
            lesson_list(store.lessons(against.new)), restore_text(store.diff("live", number)), lessons_diff(against),
            gr.BarPlot(visible=False), note(words.WEIGHTS_HINT), "",
        )  # fmt: skip

    def weigh(self, number: int | None, other: int | None) -> tuple:
        """Compare the weights of both versions. It may take two solves, so it is done only when it is looked at."""
        import pandas

        number, other = _both(number, other)
        weights = self._session.engine.compare_weights(other, number)
        rows = [(layer, weights.layers.get(layer, 0.0)) for layer in range(weights.n_layer)]
        plot = gr.BarPlot(value=pandas.DataFrame(rows, columns=["layer", "change"]), visible=True)
        return plot, weights_text(weights)

    def ready(self, request: gr.Request) -> gr.Button:
        """Asking begins, and can be stopped."""
        self._session.desk.ready(tab_of(request), COMPARE)
        return gr.Button(interactive=True)

    def ask(
        self, number: int | None, other: int | None, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - found by Gradio
    ) -> tuple:  # fmt: skip
        """Ask both versions the questions of the lessons that differ, and the unrelated ones."""
        off = gr.Button(interactive=False)
        number, other = _both(number, other)
        try:
            answers = self._session.desk.compare_answers(
                other, number, tab_of(request), lambda f, t: progress(f, desc=t)
            )
        except Cancelled as error:
            return note(str(error)), off
        return answers_diff(answers, other, number), off

    def stop(self, request: gr.Request) -> None:
        """Stop asking both versions."""
        self._session.desk.cancel(tab_of(request), COMPARE)

    def restore(self, number: int | None) -> str:
        """Make a version's knowledge live again."""
        old = self._session.engine.store.version("live" if number is None else number).number
        version = self._session.engine.restore(old)
        return chip(words.RESTORED.format(number=version.number, old=old))

    def chat_with(self, number: int | None) -> tuple:
        """Let the chat answer with the chosen version."""
        chosen = self._session.engine.store.version("live" if number is None else number).number
        gr.Info(words.CHATTING_WITH.format(number=chosen))
        return gr.Tabs(selected="chat"), chosen

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


def _both(number: int | None, other: int | None) -> tuple[int, int]:
    if number is None or other is None:
        raise NotFound(words.CHOOSE_TWO)
    return number, other
