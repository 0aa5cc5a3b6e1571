"""Whether one lesson says otherwise than another. Precision first: a person is asked to give one of the two up."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Protocol

from qfcore.lesson import Lesson
from qfcore.scope import OPEN_QUESTION, Scope, content_of
from qfcore.wording import has_digit, words_of, written_words

KEEP, REPLACE, SKIP, ASK = "keep", "replace", "skip", "ask"
"""What to do with lessons that contradict live ones: keep both, replace the live one, leave the new one out, refuse."""
SHARED = 0.6
"""Share of the questions' words, the subject's name left out, that must agree."""
LONGEST = 5
"""Most words that two texts may differ in and still differ in the answer only."""
_GENERIC = frozenset("year date day month time name person place full number".split())
_ASKS = (
    ("when", r"(when|(what|which) (year|date|day|month|time))\b"), ("who", r"(who|whom|whose|(what|which) person)\b"),
    ("where", r"(where|(what|which) place)\b"), ("count", r"how (many|much)\b"), ("why", r"why\b"), ("how", r"how\b"),
)  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """A lesson as it is compared: its text, the question it was taught with (may be empty), when it applies."""

    text: str
    question: str
    scope: Scope

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """The words of the question."""
        return tuple(words_of(self.question))

    @cached_property
    def ask(self) -> str:
        """What kind of answer the question wants; empty when its words do not say."""
        return next((kind for kind, form in _ASKS if re.search(rf"\b{form}", self.question.casefold())), "")

    @cached_property
    def is_open(self) -> bool:
        """Whether the question asks for anything that is known about a subject."""
        return self.question.startswith(OPEN_QUESTION.partition("{")[0])

    @cached_property
    def content(self) -> frozenset[str]:
        """The words of the text that are not common to all."""
        return frozenset(content_of(self.text))

    @cached_property
    def told(self) -> frozenset[str]:
        """What the text adds to the question."""
        return self.content - frozenset(self.asked)


def contradicts(new: Statement, old: Statement) -> bool:
    """Whether both answer one question differently, or their texts differ only in the answer."""
    if new.scope.always or old.scope.always:  # instructions share a question that is not theirs
        return new.scope.always and old.scope.always and _differ_in_the_answer(new, old)
    if new.asked and new.asked == old.asked and not new.is_open:
        return new.told != old.told
    if new.content.isdisjoint(old.content) or new.told == old.told or (new.ask and old.ask and new.ask != old.ask):
        return False
    return _differ_in_the_answer(new, old) or (_same_subject(new, old) and _same_question(new, old))


def _same_subject(new: Statement, old: Statement) -> bool:
    return new.scope.head == old.scope.head and new.scope.names == old.scope.names


def _same_question(new: Statement, old: Statement) -> bool:
    if not new.question or not old.question or new.told <= old.told or old.told <= new.told:
        return False
    if _has_number(new.told) != _has_number(old.told):
        return False
    subject = new.scope.names | {new.scope.head} | _GENERIC
    relation, other = (frozenset(content_of(s.question)) - subject for s in (new, old))
    if not relation and not other:
        return bool(new.ask)
    return len(relation & other) >= SHARED * len(relation | other)


def _differ_in_the_answer(new: Statement, old: Statement) -> bool:
    """Whether the texts are the same but for one name or number, which is not the subject."""
    one, other = written_words(new.text), written_words(old.text)
    steps = SequenceMatcher(None, [w.casefold() for w in one], [w.casefold() for w in other], autojunk=False).get_opcodes()
    changed = [step for step in steps if step[0] != "equal"]
    if len(changed) != 1 or changed[0][0] != "replace" or len(steps) < 2:
        return False
    _, start, end, old_start, old_end = changed[0]
    if max(end - start, old_end - old_start) > LONGEST:
        return False
    asked = {new.scope.head, old.scope.head, *new.scope.names, *old.scope.names}
    if not new.scope.always:
        asked |= {*content_of(new.question), *content_of(old.question)}
    pieces = one[start:end], other[old_start:old_end]
    if any(word in asked for piece in pieces for word in words_of(" ".join(piece))):
        return False
    return all(all(map(_has_number, piece)) for piece in pieces) or all(_has_name(piece) for piece in pieces)


def _has_number(words: str | Sequence[str] | frozenset[str]) -> bool:
    return any(map(has_digit, words))


def _has_name(words: Sequence[str]) -> bool:
    return any(word[0].isupper() for word in words if content_of(word)) and not _has_number(words)


class Record(Protocol):
    """What is told of a lesson that is contradicted; the store's LessonRecord is one."""

    @property
    def number(self) -> int: ...
    @property
    def lesson(self) -> Lesson: ...
    @property
    def created_at(self) -> str: ...


def contradiction_text(text: str, found: Sequence[Record]) -> str:
    """A sentence that names the lessons that a new one contradicts, and when they were taught."""
    named = "; ".join(f"lesson {r.number}, taught on {r.created_at[:10]}: “{r.lesson.text}”" for r in found)
    return f"“{text}” contradicts {named}." if text else f"It contradicts {named}."
