"""From a conversation to the weights that answer it: the lessons in scope, solved together."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qfcore.choosing import Choice, Chooser
from qfcore.knowledge import Entry, Knowledge
from qfcore.match import Matches
from qfcore.relation import Relations
from qfcore.rows import Rows
from qfcore.runtime.protocol import Message
from qfcore.scope import Scope
from qfcore.wordings import Wordings, mark_of

_ENDS = tuple(".!?。！？।؟…")


@dataclass(frozen=True)
class Active:
    """The lessons that are active in a conversation, and their adapter (None: the base answers)."""

    lesson_ids: tuple[str, ...]
    adapter: Path | None


@dataclass(frozen=True)
class Hearing:
    """What reads a message for a model.

    relations, matches: what it asks for, and whether that is what a lesson answers. wordings: learns a question in new words
    while it is asked.
    """

    relations: Relations
    matches: Matches
    wordings: Wordings


class Routing:
    """Chooses among a set of lessons.

    scopes: by entry. rows: gives the rows of an entry. settings: the solve's. hearing: None for a model without, where the
    words of a message decide. everything: ignore all of that, as exported weights do.
    """

    def __init__(
        self, knowledge: Knowledge, entries: Sequence[Entry], scopes: Mapping[Entry, Scope], settings: dict,
        rows: Callable[[Entry], Rows], *, hearing: Hearing | None = None, everything: bool = False,
    ) -> None:  # fmt: skip
        self._knowledge, self._entries, self._scopes, self._settings, self._rows = knowledge, entries, scopes, settings, rows
        self._hearing, self._everything = hearing, everything
        self._chooser = Chooser(entries, scopes, hearing and hearing.relations, hearing and hearing.matches)

    def among(self, lesson_ids: Collection[str]) -> "Routing":
        """The same, of some lessons only."""
        entries = [entry for entry in self._entries if entry[0] in lesson_ids]
        return Routing(
            self._knowledge, entries, self._scopes, self._settings, self._rows, hearing=self._hearing,
            everything=self._everything,
        )  # fmt: skip

    def of_text(self, text: str) -> Active:
        """The lessons that a plain text, which goes on where it ends, mentions."""
        return self._active(Choice(tuple(self._entries if self._everything else self._chooser.mentioned([text]))))

    def in_scope(self, question: str) -> tuple[str, ...]:
        """Ids of the lessons that a question in a fresh conversation calls for, without solving for their weights."""
        return _ids(self._choice([{"role": "user", "content": question}]).active)

    def of(self, messages: Sequence[Message]) -> Active:
        """The lessons that a conversation calls for, and their weights."""
        return self._active(self._choice(messages))

    def adapter(self, question: str) -> Path | None:
        """The weights for a question in a fresh conversation."""
        return self.of([{"role": "user", "content": question}]).adapter

    def _choice(self, messages: Sequence[Message]) -> Choice:
        return Choice(tuple(self._entries)) if self._everything else self._chooser.of(messages)

    def _active(self, choice: Choice) -> Active:
        if not choice.active:
            return Active((), None)
        if not choice.answering:
            return Active(_ids(choice.active), self._knowledge.adapter_of(choice.active, self._settings, self._rows))
        heard, answer = choice.heard, " ".join(_sentence(scope.answer) for scope in choice.answering)
        path = self._knowledge.adapter_beside(
            choice.active, self._settings, self._rows, mark_of(heard, answer),
            partial(self._hearing.wordings.further, heard, answer),
        )  # fmt: skip
        return Active(_ids(choice.active), path)


def _sentence(answer: str) -> str:
    """An answer as it stands beside another."""
    return answer if answer[-1:] in _ENDS else f"{answer}."


def _ids(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(lesson_id for lesson_id, _ in entries)
