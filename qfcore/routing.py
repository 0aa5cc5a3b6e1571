"""From a conversation to the weights that answer it: the lessons in scope, solved together."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qfcore.knowledge import Entry, Knowledge
from qfcore.rows import Rows
from qfcore.runtime.protocol import Message
from qfcore.scope import Scope, said_in

MESSAGES = 4
"""The user's last messages in which a lesson's subject is looked for: a follow-up question need not name it again."""


@dataclass(frozen=True)
class Active:
    """The lessons that are active in a conversation, and their adapter (None: the base answers)."""

    lesson_ids: tuple[str, ...]
    adapter: Path | None


class Routing:
    """Chooses among a set of lessons.

    scopes: by entry. rows: gives the rows of an entry. settings: the solve's. everything: ignore the scopes, as
    exported weights do.
    """

    def __init__(
        self, knowledge: Knowledge, entries: Sequence[Entry], scopes: Mapping[Entry, Scope], settings: dict,
        rows: Callable[[Entry], Rows], *, everything: bool = False,
    ) -> None:  # fmt: skip
        self._knowledge, self._entries, self._scopes, self._settings, self._rows = knowledge, entries, scopes, settings, rows
        self._everything = everything

    def among(self, lesson_ids: Collection[str]) -> "Routing":
        """The same, of some lessons only."""
        entries = [entry for entry in self._entries if entry[0] in lesson_ids]
        return Routing(self._knowledge, entries, self._scopes, self._settings, self._rows, everything=self._everything)

    def of_text(self, *texts: str) -> Active:
        """The lessons that a question, or any of several messages, calls for."""
        chosen = self._chosen(texts)
        adapter = self._knowledge.adapter_of(chosen, self._settings, self._rows) if chosen else None
        return Active(_ids(chosen), adapter)

    def in_scope(self, text: str) -> tuple[str, ...]:
        """Ids of the lessons that a single question calls for, without solving for their weights."""
        return _ids(self._chosen([text]))

    def of(self, messages: Sequence[Message]) -> Active:
        """The lessons that a conversation calls for, by the user's last messages."""
        said = [m["content"] for m in messages if m["role"] == "user"]
        return self.of_text(*said[-MESSAGES:])

    def adapter(self, question: str) -> Path | None:
        """The weights for a question in a fresh conversation."""
        return self.of_text(question).adapter

    def _chosen(self, texts: Sequence[str]) -> list[Entry]:
        said = [part for text in texts for part in said_in(text)]
        return [e for e in self._entries if self._everything or self._scopes[e].covers(said)]


def _ids(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(lesson_id for lesson_id, _ in entries)
