"""What every panel shows of the knowledge, read anew after each change."""

from typing import Any

import gradio as gr

from app import words
from app.events.common import QUICK
from app.panels.arena import ArenaPanel
from app.panels.chat import ChatPanel, Sidebar
from app.panels.export import ExportPanel
from app.panels.lessons import LessonsPanel
from app.panels.versions import VersionsPanel
from app.present.chat import badge
from app.present.history import lesson_counts, name_list, timeline, version_choices
from app.present.teaching import lessons_table
from app.session import Session
from qfcore.standing import curve_of


class Knowledge:
    """Values of `outputs`; `after` is the event that refreshes them."""

    def __init__(
        self, session: Session, side: Sidebar, chat: ChatPanel, lessons: LessonsPanel, history: VersionsPanel,
        arena: ArenaPanel, export: ExportPanel,
    ) -> None:  # fmt: skip
        self._session = session
        self.outputs = [
            side.badge, chat.settings.version, lessons.table, history.timeline, history.curve, history.version,
            history.names, history.other, arena.left.version, arena.right.version, export.version,
        ]  # fmt: skip
        self.after: dict[str, Any] = {"fn": self.values, "inputs": lessons.search, "outputs": self.outputs, **QUICK}

    def values(self, search: str | None = "") -> tuple:
        """Everything that depends on the live version and the history."""
        session, store = self._session, self._session.engine.store
        live, versions, names = store.live(), store.versions(), store.names.all()
        choices = version_choices(versions, live.number)
        before = live.parent if live.parent is not None else live.number
        table = lessons_table(session.desk.lessons(search or ""), {}, bool(search))
        return (
            badge(session.engine.status()),
            gr.Dropdown(choices=[(words.LIVE, "live"), *choices]), table,
            timeline(versions, live.number, lesson_counts(versions), names),
            self._curve(), gr.Dropdown(choices=choices, value=live.number), name_list(names),
            gr.Dropdown(choices=choices, value=before), gr.Dropdown(choices=choices, value=before),
            gr.Dropdown(choices=choices, value=live.number), gr.Dropdown(choices=choices, value=live.number),
        )  # fmt: skip

    def _curve(self) -> gr.LinePlot:
        import pandas

        points = curve_of(self._session.engine.store.reports())
        rows = [
            (point.version, share, what)
            for point in points
            for share, what in ((point.recall, words.CURVE_RECALL), (point.locality, words.CURVE_LOCALITY))
            if share is not None
        ]
        frame = pandas.DataFrame(rows, columns=["version", "share", "what"])
        return gr.LinePlot(value=frame, visible=len(points) > 1)
