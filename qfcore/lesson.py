"""A lesson: what a person teaches, and the rules for what may be one.

The identity of a lesson is its content. Two lessons with the same text, question and answer are the same lesson.
"""

import hashlib
import json
import unicodedata
from dataclasses import dataclass

from qfcore.errors import LessonError
from qfcore.hidden import HIDDEN

MAX_CHARACTERS = 4000
"""Longest lesson text. It must fit into the observing context beside the question and the answer."""
MAX_FIELD_CHARACTERS = 1000
"""Longest question or answer."""

MAX_MARKS = 10
"""Accents on one letter; scripts need up to six, and a thousand would be drawn over the lines around it."""


@dataclass(frozen=True)
class Phrasing:
    """One way to ask for a lesson, and the answer the model is to give."""

    question: str
    answer: str


@dataclass(frozen=True)
class Lesson:
    """A fact or an instruction as taught by a person; question and answer may be empty (the model proposes them)."""

    text: str
    question: str = ""
    answer: str = ""
    source: str = "user"

    @property
    def id(self) -> str:
        """SHA-256 (64 hex digits) over the canonical JSON of text, question and answer; the source does not count."""
        content = json.dumps([self.text, self.question, self.answer], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(b"qf-lesson-1:" + content.encode()).hexdigest()


def check_lesson(text: str, question: str = "", answer: str = "", source: str = "user") -> Lesson:
    """Normalise (NFC, trimmed) and check what a person typed.

    Raises:
        LessonError: the text is empty, too long, or holds characters that a person cannot see.
    """
    return Lesson(
        _clean(text, "lesson", MAX_CHARACTERS, required=True),
        _clean(question or "", "question", MAX_FIELD_CHARACTERS),
        _clean(answer or "", "answer", MAX_FIELD_CHARACTERS),
        source,
    )


def check_message(message: str) -> str:
    """A version's message as typed by a person; empty when there is none.

    Raises:
        LessonError: it is too long, or holds characters that a person cannot see.
    """
    return _clean(message or "", "message", MAX_FIELD_CHARACTERS)


def _clean(value: str, field: str, limit: int, *, required: bool = False) -> str:
    if not isinstance(value, str):
        raise LessonError(f"The {field} is {type(value).__name__}, a text was expected.")
    if len(value) > limit:
        raise LessonError(
            f"The {field} has {len(value):,} characters, at most {limit:,} fit into one lesson. Split it into several."
        )
    value = unicodedata.normalize("NFC", value.replace("\r\n", "\n")).strip()
    if required and not value:
        raise LessonError("The lesson is empty. Write the fact or instruction that the model should learn.")
    if found := HIDDEN.search(value):
        raise LessonError(
            f"The {field} holds the invisible character U+{ord(found[0]):04X}, "
            "which cannot be checked by eye. Remove it and try again."
        )
    if _most_marks(value) > MAX_MARKS:
        raise LessonError(f"The {field} has a letter with more than {MAX_MARKS} accents on it. Remove them and try again.")
    return value


def _most_marks(value: str) -> int:
    """Length of the longest run of characters that are drawn onto the one before."""
    longest = run = 0
    for character in value:
        run = run + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        longest = max(longest, run)
    return longest
