"""Which lessons a conversation calls for, and which of them answer its last message.

Candidates are cheap: lessons whose subject the message mentions (words, qfcore/scope.py) or whose question asks for
something like it (vectors, qfcore/relation.py). The model then compares the message with each one's question
(qfcore/match.py), and that decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qfcore.knowledge import Entry
from qfcore.match import BEFORE, Matches
from qfcore.relation import SHOWN, Relations
from qfcore.runtime.protocol import Message
from qfcore.scope import Said, Scope, questions_in, said_in
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
class _Found:
    """sure: above 0 where just this lesson's question is asked. active: whether its weights act, for what may follow."""

    sure: float
    active: bool


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
        found, heard = self._compared(last["content"]), [last]
        if before and not any(one.sure > 0 for one in found.values()):
            followed = self._following([entry for entry in mentioned if entry not in active], last["content"], before)
            if followed:
                found, heard = {**found, **followed}, [m for m in before if m["role"] != "system"][1 - BEFORE :] + [last]
        active |= {entry for entry, one in found.items() if one.active}
        chosen = tuple(entry for entry in self._entries if entry in active)
        return Choice(chosen, self._answering(found, last["content"], chosen), tuple(heard))

    def _compared(self, text: str) -> dict[Entry, _Found]:
        """How the lessons that could be meant compare with a message that stands alone, or with one of its questions."""
        said, found = said_in(text), dict[Entry, _Found]()
        pieces = questions_in(text)
        candidates = self._candidates(text, pieces if len(pieces) > 1 else [], said)
        named = {scope.head for entry in candidates if (scope := self._scopes[entry]).head and scope.covers(said)}
        for entry, (like, piece) in candidates.items():
            scope = self._scopes[entry]
            if len(named) > 1 and piece == text:
                if scope.head not in named:
                    continue  # it names what it asks about
                like = USUAL  # and a message that asks for two things is like neither
            found[entry] = self._comparison(scope, piece, like, mentioned=scope.covers(said))
            if found[entry].sure > 0 and len(pieces) < 2 and len(named) < 2:
                break
        return found

    def _comparison(self, scope: Scope, text: str, like: float, *, mentioned: bool) -> _Found:
        if text in scope.studied:
            return _Found(1.0, True)
        match = self._matches.of(scope.question, text)
        score = match.both + like - USUAL
        if not mentioned:
            sure = min(score + SURE_UNNAMED, match.subject - UNNAMED_SUBJECT)
            return _Found(sure, sure > 0)
        same = match.subject + SAME_SUBJECT
        turned = scope.asks_for_subject(said_in(text))  # "Which bridge has 47 arches?" names no bridge
        return _Found(min(score + SURE, same), turned or min(score + NEAR, same) > 0)

    def _candidates(self, text: str, pieces: Sequence[str], said: Sequence[Said]) -> dict[Entry, tuple[float, str]]:
        """The lessons that a message may be asking for, those that it mentions and the likeliest first.

        With the likeness of the whole message, or of one of its questions that mentions the lesson's subject.
        Of those that were never read a few are, at each message.
        """
        if not any(self._scopes[entry].question for entry in self._entries):
            return {}
        asked, room = self._relations.of(text), READ_AT_ONCE
        likeness: dict[bool, dict[Entry, tuple[float, str]]] = {True: {}, False: {}}
        for entry in self._entries:
            scope = self._scopes[entry]
            wanted = self._relations.known(scope.question) if scope.question else None
            if wanted is None and scope.question and room:
                room, wanted = room - 1, self._relations.of(scope.question)
            if wanted is None:
                continue
            about = [piece for piece in pieces if scope.covers(said_in(piece))]
            likes = [(self._relations.of(piece).like(wanted), piece) for piece in about]
            likeness[scope.covers(said)][entry] = max([(asked.like(wanted), text), *likes])
        near = _best(likeness[True], MENTIONED, MOST_MENTIONED) | _best(likeness[False], ALIKE, MOST_ALIKE)
        return dict(sorted(near.items(), key=lambda one: (one[0] not in likeness[True], -one[1][0])))

    def _following(self, entries: Sequence[Entry], text: str, before: Sequence[Message]) -> dict[Entry, _Found]:
        """The lesson about something said earlier that a message asks for as it goes on, if it does.

        Read with what came before, "Which river flows through London?" is also about the village of which that was asked.
        Read alone as well, it is about neither.
        """
        if not entries:
            return {}
        asked = self._relations.of(text)
        like = {e: asked.like(w) for e in entries if (w := self._relations.known(self._scopes[e].question))}
        best: dict[Entry, _Found] = {}
        for entry in sorted(like, key=lambda entry: -like[entry])[:MOST_EARLIER]:
            question = self._scopes[entry].question
            alone, whole = self._matches.of(question, text), self._matches.of(question, text, before)
            sure = min(alone.both + whole.both + GOES_ON, alone.both + BY_ITSELF, whole.subject + SAME_SUBJECT)
            if sure > max((one.sure for one in best.values()), default=0.0):
                best = {entry: _Found(sure, True)}
        return best

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


def _best(likeness: Mapping[Entry, tuple[float, str]], least: float, most: int) -> dict[Entry, tuple[float, str]]:
    near = sorted((entry for entry, (like, _) in likeness.items() if like >= least), key=lambda entry: -likeness[entry][0])
    return {entry: likeness[entry] for entry in near[:most]}
