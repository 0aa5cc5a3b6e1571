"""From a conversation to the weights that answer it: the lessons in scope, solved together."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qfcore.knowledge import Entry, Knowledge
from qfcore.relation import (
    ASKED,
    FOLLOWS,
    NAMED_OWN,
    NEARER,
    OWN,
    OWN_ASKED,
    OWN_MENTIONED,
    OWN_NEARER,
    Asked,
    Relations,
)
from qfcore.rows import Rows
from qfcore.runtime.protocol import Message
from qfcore.scope import Said, Scope, questions_in, said_in

MESSAGES = 4
"""The user's last messages in which a lesson's subject is looked for: a follow-up question need not name it again."""
CLOSE = 0.05
"""Of lessons about the life of who asks the likest one is asked for, and those that are alike by so little less."""
READ_AT_ONCE = 4
"""Questions of lessons that are read at a message where that was not done when they were taught (each 0.25 s)."""


@dataclass(frozen=True)
class Active:
    """The lessons that are active in a conversation, and their adapter (None: the base answers)."""

    lesson_ids: tuple[str, ...]
    adapter: Path | None


class Routing:
    """Chooses among a set of lessons.

    scopes: by entry. rows: gives the rows of an entry. settings: the solve's. relations: compares what is asked for; None
    for a model that it is not known of. everything: ignore the scopes, as exported weights do.
    """

    def __init__(
        self, knowledge: Knowledge, entries: Sequence[Entry], scopes: Mapping[Entry, Scope], settings: dict,
        rows: Callable[[Entry], Rows], *, relations: Relations | None = None, everything: bool = False,
    ) -> None:  # fmt: skip
        self._knowledge, self._entries, self._scopes, self._settings, self._rows = knowledge, entries, scopes, settings, rows
        self._relations, self._everything = relations, everything

    def among(self, lesson_ids: Collection[str]) -> "Routing":
        """The same, of some lessons only."""
        entries = [entry for entry in self._entries if entry[0] in lesson_ids]
        return Routing(
            self._knowledge, entries, self._scopes, self._settings, self._rows, relations=self._relations,
            everything=self._everything,
        )  # fmt: skip

    def of_text(self, text: str) -> Active:
        """The lessons that a plain text, which goes on where it ends, mentions."""
        return self._active(self._mentioned([text]))

    def in_scope(self, question: str) -> tuple[str, ...]:
        """Ids of the lessons that a question in a fresh conversation calls for, without solving for their weights."""
        return _ids(self._asked([{"role": "user", "content": question}]))

    def of(self, messages: Sequence[Message]) -> Active:
        """The lessons that a conversation calls for: their subject is mentioned in one of the user's last messages, and the
        last one asks for what they answer.
        """
        return self._active(self._asked(messages))

    def adapter(self, question: str) -> Path | None:
        """The weights for a question in a fresh conversation."""
        return self.of([{"role": "user", "content": question}]).adapter

    def _active(self, chosen: Sequence[Entry]) -> Active:
        adapter = self._knowledge.adapter_of(chosen, self._settings, self._rows) if chosen else None
        return Active(_ids(chosen), adapter)

    def _mentioned(self, texts: Sequence[str]) -> list[Entry]:
        said = [part for text in texts for part in said_in(text)]
        return [e for e in self._entries if self._everything or self._scopes[e].covers(said)]

    def _asked(self, messages: Sequence[Message]) -> list[Entry]:
        texts = [m["content"] for m in messages if m["role"] == "user"][-MESSAGES:]
        found = self._mentioned(texts)
        if self._relations is None or self._everything or not texts:
            return found
        before = messages[: max(n for n, m in enumerate(messages) if m["role"] == "user")]
        own, said = self._own_lessons(), said_in(texts[-1])
        chosen = {
            e for e in found if e not in own
            and (self._scopes[e].covers(said) or self._relations.of(texts[-1]).follows >= FOLLOWS)
            and self._is_asked(self._scopes[e], texts[-1], said, before)
        }  # fmt: skip
        chosen |= self._own_asked(own, texts[-1], said)
        return [entry for entry in self._entries if entry in chosen]

    def _is_asked(self, scope: Scope, text: str, said: Sequence[Said], before: Sequence[Message]) -> bool:
        """Whether a message asks for what a lesson answers: whole, in one of its questions, or after what came before."""
        if scope.always or not scope.question or scope.asks_for_subject(said):
            return True  # an instruction; a lesson that answers whatever is asked; "Which bridge has 47 arches?"
        wanted = self._relations.of(scope.question)

        def asks(asked: Asked) -> bool:
            return asked.like(wanted) >= ASKED and not self._relations.metric.tells_apart(asked, wanted, NEARER)

        parts = [part for part in questions_in(text) if part != text and scope.covers(said_in(part))]
        if any(asks(self._relations.of(part)) for part in (text, *parts)):
            return True
        return bool(before) and asks(self._relations.of(text, before))

    def _own_lessons(self) -> dict[Entry, Asked]:
        """Lessons about the life of who asks, with what they answer. Of those never read a few are, at each message."""
        room, own = READ_AT_ONCE, {}
        for entry in self._entries:
            scope = self._scopes[entry]
            answered = self._relations.known(scope.question) if scope.question else None
            if answered is None and scope.question and room:
                room, answered = room - 1, self._relations.of(scope.question)
            if answered and answered.own > (NAMED_OWN if scope.names else OWN):
                own[entry] = answered
        return own

    def _own_asked(self, own: Mapping[Entry, Asked], text: str, said: Sequence[Said]) -> set[Entry]:
        """Those that a message asks for. They share few words with it ("Who am I?"), so what is asked for decides alone."""
        if not own:
            return set()
        asked = self._relations.of(text)
        if asked.own <= 0:
            return set()
        like = {entry: asked.like(answered) for entry, answered in own.items()}
        nearest = max(like.values()) - CLOSE
        mentioned = {entry for entry in own if self._scopes[entry].covers(said)}
        return {
            entry for entry in own
            if like[entry] >= max(nearest, OWN_MENTIONED if entry in mentioned else OWN_ASKED)
            and not self._relations.metric.tells_apart(asked, own[entry], OWN_NEARER)
        }  # fmt: skip


def _ids(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(lesson_id for lesson_id, _ in entries)
