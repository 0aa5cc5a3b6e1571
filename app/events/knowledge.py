"""What every panel shows of the knowledge, read anew after each change."""

from typing import Any

import gradio as gr

from app import words
from app.desk import matching
from app.events.common import QUICK
from app.panels.arena import ArenaPanel
from app.panels.chat import ChatPanel, Sidebar
from app.panels.export import ExportPanel
from app.panels.lessons import LessonsPanel
from app.panels.teach import TaughtChip, TeachPanel
from app.panels.versions import VersionsPanel
from app.present.chat import badge
from app.present.common import count, more_text
from app.present.history import curve_text, lesson_counts, name_list, restore_text, timeline, version_choices
from app.present.teaching import doubts, last_change, lessons_table, standings_summary
from app.session import Session
from qfcore.standing import Point
from qfcore.store.records import Version

CURVE_POINTS = 200


class Knowledge:
    """Values of `outputs`; `after` is the event that refreshes them."""

    def __init__(
        self, session: Session, side: Sidebar, chat: ChatPanel, lessons: LessonsPanel, history: VersionsPanel,
        arena: ArenaPanel, export: ExportPanel, teach: TeachPanel, spoken: TaughtChip,
    ) -> None:  # fmt: skip
        self._session = session
        chosen = [history.version, arena.right.version, export.version, history.other, arena.left.version]
        defaults = gr.State(())
        self.outputs = [
            side.badge, chat.settings.version, lessons.table, lessons.summary, history.timeline, history.curve,
            history.curve_text, history.names, history.restore_text, history.more, lessons.more, lessons.thorough,
            teach.chip.text, spoken.text, teach.applied, *chosen, defaults,
        ]  # fmt: skip
        self.after: dict[str, Any] = {
            "fn": self.values, "inputs": [lessons.search, lessons.pages, history.pages, teach.applied, defaults, *chosen],
            "outputs": self.outputs, **QUICK,
        }  # fmt: skip
        history.more.click(self.more_versions, history.pages, [history.pages, history.timeline, history.more], **QUICK)
        self.refresh = side.refresh
        """Pressed by the page when it is seen again."""
        self.refresh.click(**{**self.after, "fn": self.look_again})

    def look_again(
        self, search: str | None, lesson_pages: int, version_pages: int, applied: int | None, defaults: tuple,
        *chosen: int | None,
    ) -> tuple:  # fmt: skip
        """What changed while the tab was not looked at: another tab, or a program, may have taught or restored."""
        store = self._session.engine.store
        if defaults and _now(store.live()) == tuple(defaults):
            text = badge(self._session.engine.status()) + doubts(self._session.desk.lessons())
            return text, *(gr.skip() for _ in self.outputs[1:])
        return self.values(search, lesson_pages, version_pages, applied, defaults, *chosen)

    def more_versions(self, pages: int) -> tuple[int, str, str]:
        """One page more of the timeline."""
        store = self._session.engine.store
        versions = store.versions()
        counts = lesson_counts(versions, pages + 1)
        drawn = timeline(versions, store.live().number, counts, store.names.all(), pages + 1)
        return pages + 1, drawn, more_text(len(versions), pages + 1)

    def values(
        self, search: str | None, lesson_pages: int, version_pages: int, applied: int | None, defaults: tuple,
        *chosen: int | None,
    ) -> tuple:  # fmt: skip
        """Everything that depends on the live version and the history.

        …_pages: how much of the two long lists is drawn. applied: the version that the chips are about.
        defaults: (live, the one before it) at the last refresh. chosen: the versions that the dropdowns show now: three
        that begin with the live one, two that begin with the one before.
        """
        session, store = self._session, self._session.engine.store
        live, versions, names = store.live(), store.versions(), store.names.all()
        choices = version_choices(versions, live.number)
        now = _now(live)
        kept = kept_choices(chosen, defaults, now, {number for _, number in choices})
        rows, points = session.desk.lessons(), session.engine.curve()
        found, doubtful = matching(rows, search or ""), session.desk.doubtful(rows)
        return (
            badge(session.engine.status()) + doubts(rows), gr.Dropdown(choices=[(words.LIVE, "live"), *choices]),
            lessons_table(found, bool(search), pages=lesson_pages), standings_summary(rows, again=bool(doubtful)),
            timeline(versions, live.number, lesson_counts(versions, version_pages), names, version_pages), _curve(points),
            curve_text(points), name_list(names), restore_text(store.diff("live", kept[0])),
            more_text(len(versions), version_pages), more_text(len(found), lesson_pages),
            words.TEACH_DOUBTFUL.format(lessons=count(len(doubtful))),
            last_change(live, store.report(live)), gr.skip() if applied == live.number else "", live.number,
            *(gr.Dropdown(choices=choices, value=value) for value in kept), now,
        )  # fmt: skip


def _now(live: Version) -> tuple[int, int]:
    """The live version and the one before it."""
    return live.number, live.parent if live.parent is not None else live.number


def kept_choices(chosen: tuple, defaults: tuple, now: tuple[int, int], valid: set[int]) -> list[int]:
    """What the dropdowns of `Knowledge.values` show next: what a person chose, else what is the default now."""
    before = defaults or (None, None)
    kept = []
    for position, value in enumerate(chosen):
        kind = 0 if position < 3 else 1
        kept.append(value if value in valid and value != before[kind] else now[kind])
    return kept


def _curve(points: list[Point]) -> gr.LinePlot:
    """The plot, of at most CURVE_POINTS and the newest."""
    import pandas

    points = [*points[: -1 : len(points) // CURVE_POINTS + 1], *points[-1:]]
    rows = [
        (point.version, share, what)
        for point in points
        for share, what in ((point.recall, words.CURVE_RECALL), (point.locality, words.CURVE_LOCALITY))
        if share is not None
    ]
    frame = pandas.DataFrame(rows, columns=["version", "share", "what"])
    return gr.LinePlot(value=frame, visible=len(points) > 1)
