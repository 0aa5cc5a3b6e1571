"""Which lessons a conversation calls for, and which of them answer its last message.

Candidates are cheap: lessons whose subject the message mentions (words, qfcore/scope.py) or whose question asks for
something like it (vectors, qfcore/relation.py). The model then compares the message with each one's question
(qfcore/match.py), and that decides.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from qfcore.knowledge import Entry
from qfcore.match import Match, Matches, recent
from qfcore.relation import SHOWN, Relations
from qfcore.runtime.protocol import Message
from qfcore.scope import Scope, questions_in, said_in
from qfcore.wording import words_of

MESSAGES = 4
"""The user's last messages in which a lesson's subject is looked for: a follow-up question need not name it again."""
MENTIONED, MOST_MENTIONED = 0.2, 4
"""Likeness from which a lesson whose subject is mentioned may be asked for, and how many of these are compared."""
ALIKE, MOST_ALIKE = 0.45, 3
"""The same for lessons whose subject is not mentioned, as words see it."""
USUAL = 0.6
"""Likeness of a question in other words; more or less of it counts for and against, as the comparison does."""
SURE, NEAR, SAME_SUBJECT, GOES_ON, BY_ITSELF = 0.5, 0.65, 0.1, 0.1, 0.7
"""How far below 0 a comparison may be: for a question in other words; for one that its answer may bear on; for the subject;
for one that goes on from what came before, alone and with that together, and alone. Chosen on suites (NOTES.md)."""
SURE_UNNAMED, UNNAMED_SUBJECT = 0.2, 0.2
"""The same for a question in other words about a subject that no word of the message names, and how far above 0 its subject
has to be: among many lessons one is always a little like it."""
MOST_EARLIER = 3
"""Lessons about something said earlier that are compared with what follows on it."""
READ_AT_ONCE = 4
"""Questions of lessons that are read at a message where that was not done when they were taught (each 0.25 s)."""


@dataclass(frozen=True)
class Choice:
    """active: lessons whose weights act. answering: those whose answer is asked for, in the message's order. heard: the
    messages after which it is to follow.
    """

    active: tuple[Entry, ...]
    answering: tuple[Scope, ...] = ()
    heard: tuple[Message, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """A lesson that a message may be asking for.

    text: the message, or the one of its questions that is likest. like: how like. mentioned: whether the message's words
    mention its subject.
    """

    entry: Entry
    scope: Scope
    text: str
    like: float
    mentioned: bool


@dataclass(frozen=True)
class _Found:
    """sure: above 0 where just this lesson's question is asked. active: whether its weights act, for what may follow."""

    sure: float
    active: bool


def sureness(match: Match, like: float, *, mentioned: bool = True) -> float:
    """How sure it is that a message asks for a lesson's question, above 0 for yes.

    like: of the two, by their vectors. mentioned: whether the message's words mention the lesson's subject.
    """
    if not mentioned:
        return min(match.both + like - USUAL + SURE_UNNAMED, match.subject - UNNAMED_SUBJECT)
    return min(match.both + like - USUAL + SURE, match.subject + SAME_SUBJECT)


class Chooser:
    """Chooses among lessons. scopes: by entry. relations, matches: of the model; None where they are not known, and then
    the words decide.
    """

    def __init__(
        self, entries: Sequence[Entry], scopes: Mapping[Entry, Scope], relations: Relations | None, matches: Matches | None
    ) -> None:
        self._entries, self._scopes, self._relations, self._matches = entries, scopes, relations, matches

    def mentioned(self, texts: Sequence[str]) -> list[Entry]:
        """The lessons that texts mention."""
        said = [part for text in texts for part in said_in(text)]
        return [entry for entry in self._entries if self._scopes[entry].covers(said)]

    def of(self, messages: Sequence[Message]) -> Choice:
        """What a conversation calls for."""
        texts = [m["content"] for m in messages if m["role"] == "user"][-MESSAGES:]
        mentioned = self.mentioned(texts)
        if not (texts and self._relations and self._matches):
            return Choice(tuple(mentioned))
        at = max(n for n, m in enumerate(messages) if m["role"] == "user")
        before, last = messages[:at], messages[at]
        active = {e for e in mentioned if self._scopes[e].always or not self._scopes[e].question}
        found, heard = self._compared(last["content"], set(mentioned)), [last]
        if before and not any(one.sure > 0 for one in found.values()):
            followed = self._following([entry for entry in mentioned if entry not in active], last["content"], before)
            if followed:
                found, heard = {**found, **followed}, [*recent(before), last]
        active |= {entry for entry, one in found.items() if one.active}
        chosen = tuple(entry for entry in self._entries if entry in active)
        return Choice(chosen, self._answering(found, last["content"], chosen), tuple(heard))

    def _compared(self, text: str, mentioned: Collection[Entry]) -> dict[Entry, _Found]:
        """How the lessons that could be meant compare with a message that stands alone, or with one of its questions.

        mentioned: in this message or an earlier one.
        """
        pieces, found = questions_in(text), dict[Entry, _Found]()
        candidates = self._candidates(text, pieces if len(pieces) > 1 else [], mentioned)
        named = {one.scope.head for one in candidates if one.scope.head and one.mentioned}
        for one in candidates:
            if len(named) > 1 and one.text == text:
                if one.scope.head not in named:
                    continue  # it names what it asks about
                one = replace(one, like=USUAL)  # and a message that asks for two things is like neither
            found[one.entry] = self._comparison(one)
            if found[one.entry].sure > 0 and len(pieces) < 2 and len(named) < 2:
                break
        return found

    def _comparison(self, one: _Candidate) -> _Found:
        if one.text in one.scope.studied:
            return _Found(1.0, True)
        match = self._matches.of(one.scope.question, one.text)
        sure = sureness(match, one.like, mentioned=one.mentioned)
        if not one.mentioned:
            return _Found(sure, sure > 0)
        near = min(match.both + one.like - USUAL + NEAR, match.subject + SAME_SUBJECT) > 0
        turned = one.scope.asks_for_subject(said_in(one.text))  # "Which bridge has 47 arches?" names no bridge
        return _Found(sure, near or turned)

    def _candidates(self, text: str, pieces: Sequence[str], mentioned: Collection[Entry]) -> list[_Candidate]:
        """The lessons that a message may be asking for, those that it mentions and the likeliest first.

        With the likeness of the whole message, or of one of its questions that mentions the lesson's subject.
        Of those that were never read a few are, at each message.
        """
        if not any(self._scopes[entry].question for entry in self._entries):
            return []
        asked, room, read = self._relations.of(text), READ_AT_ONCE, list[_Candidate]()
        said, in_pieces = said_in(text), [(piece, said_in(piece)) for piece in pieces]
        for entry in self._entries:
            scope = self._scopes[entry]
            wanted = self._relations.known(scope.question) if scope.question else None
            if wanted is None and scope.question and room:
                room, wanted = room - 1, self._relations.of(scope.question)
            if wanted is None:
                continue
            about = [piece for piece, parts in in_pieces if scope.covers(parts)]
            likes = [(self._relations.of(piece).like(wanted), piece) for piece in about]
            like, likest = max([(asked.like(wanted), text), *likes])
            read.append(_Candidate(entry, scope, likest, like, entry in mentioned and scope.covers(said)))
        read.sort(key=lambda one: -one.like)
        named = [one for one in read if one.mentioned and one.like >= MENTIONED]
        others = [one for one in read if not one.mentioned and one.like >= ALIKE]
        return named[:MOST_MENTIONED] + others[:MOST_ALIKE]

    def _following(self, entries: Sequence[Entry], text: str, before: Sequence[Message]) -> dict[Entry, _Found]:
        """The lesson about something said earlier that a message asks for as it goes on, if it does.

        Read with what came before, "Which river flows through London?" is also about the village of which that was asked.
        Read alone as well, it is about neither.
        """
        if not entries:
            return {}
        asked = self._relations.of(text)
        like = {e: asked.like(w) for e in entries if (w := self._relations.known(self._scopes[e].question))}
        found = {}
        for entry in sorted(like, key=lambda entry: -like[entry])[:MOST_EARLIER]:
            question = self._scopes[entry].question
            alone, whole = self._matches.of(question, text), self._matches.of(question, text, before)
            sure = min(alone.both + whole.both + GOES_ON, alone.both + BY_ITSELF, whole.subject + SAME_SUBJECT)
            found[entry] = _Found(sure, True)
        surest = max(found, key=lambda entry: found[entry].sure, default=None)
        return {surest: found[surest]} if surest and found[surest].sure > 0 else {}

    def _answering(self, found: Mapping[Entry, _Found], text: str, active: Sequence[Entry]) -> tuple[Scope, ...]:
        """Of lessons about one subject the one that is surest, of several subjects in the message's order.

        None beside an instruction, which says how to answer; none to a long text; none to a question that was studied, since
        the lesson's own weights answer that.
        """
        if len(text) > 2 * SHOWN or any(self._scopes[entry].always for entry in active):
            return ()
        words, groups = words_of(text), dict[str, tuple[float, Scope]]()
        for entry, one in found.items():
            scope = self._scopes[entry]
            subject = scope.head if scope.head in words else ""
            if scope.answer and one.sure > groups.get(subject, (0.0,))[0]:
                groups[subject] = one.sure, scope
        ordered = sorted(groups, key=lambda head: words.index(head) if head in words else len(words))
        answering = tuple(groups[head][1] for head in ordered)
        return () if len(answering) == 1 and text in answering[0].studied else answering
