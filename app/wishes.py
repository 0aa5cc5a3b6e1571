"""Which conversation each tab of the browser should show, and what it does show."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from qfcore.store.records import Message

TABS_REMEMBERED = 256
"""Browser tabs whose shown conversation is known; a forgotten one stops following until it chooses again."""
SECONDS_TO_LET_GO = 30
"""How long a tab that turns to another conversation waits until the answer it followed has drawn for the last time, which
takes a tenth of a second where the machine is not busy."""

_DIGITS, _LONGEST = 8, 100
"""Of a model's SHA-256 in a stamp; of a stamp."""


@dataclass(eq=False)
class Wish:
    """What a tab should show. `drawing` follows an answer for it; `let_go` is set when that has drawn for the last time."""

    chosen: int | None
    earlier: int = 0
    """How often earlier messages of it were asked for."""
    drawing: bool = False
    let_go: threading.Event = field(default_factory=threading.Event)


class Wishes:
    """The newest wish of each tab."""

    def __init__(self) -> None:
        self._of: dict[str, Wish] = {}
        self._lock = threading.Lock()

    def get(self, tab: str) -> Wish | None:
        """A tab's newest wish; None when it has none, or was forgotten."""
        return self._of.get(tab)

    def want(self, tab: str, chosen: int | None, earlier: int = 0) -> Wish:
        """Make a conversation the tab's wish; returns when what follows an answer for the one before has let go."""
        with self._lock:
            before = self._of.pop(tab, None)
            wish = self._of[tab] = Wish(chosen, earlier)
            while len(self._of) > TABS_REMEMBERED:
                self._of.pop(next(iter(self._of)))
        if before and before.drawing:
            before.let_go.wait(SECONDS_TO_LET_GO)
        return wish

    @contextlib.contextmanager
    def drawing(self, tab: str, chosen: int | None) -> Iterator[Wish | None]:
        """Follow an answer for a tab: its wish, or None when it wishes something else, or is followed already."""
        with self._lock:
            wish = self._of.get(tab)
            mine = wish is not None and wish.chosen == chosen and not wish.drawing
            if mine:
                wish.drawing = True
                wish.let_go.clear()
        try:
            yield wish if mine else None
        finally:
            if mine:
                wish.drawing = False
                wish.let_go.set()


def stamp(chosen: int | None, path: list[Message], first: int, busy: bool, model: str) -> str:
    """What a page shows, in short: the conversation, its first and last message there, whether it is being answered, and by
    which model (its SHA-256): each has conversations of its own, with the same numbers."""
    return f"{chosen or ''}:{path[-1].id if path else ''}:{first}:{'busy' if busy else 'idle'}:{model[:_DIGITS]}"


def first_drawn(stamp: str | None) -> int:
    """Position in its branch of the first message that a page shows, by its stamp."""
    parts = _parts(stamp)
    return int(parts[2]) if parts[2].isdecimal() else 0


def chat_drawn(stamp: object, model: str) -> int | None:
    """The conversation that a page shows, by its stamp; None for none, and for one of another model."""
    parts = _parts(stamp)
    return int(parts[0]) if parts[0].isdecimal() and parts[4] == model[:_DIGITS] else None


def _parts(stamp: object) -> list[str]:
    """The five parts of a stamp; empty ones for what is none, since browsers keep it."""
    parts = stamp.split(":") if isinstance(stamp, str) and len(stamp) < _LONGEST else []
    return parts if len(parts) == 5 else [""] * 5
