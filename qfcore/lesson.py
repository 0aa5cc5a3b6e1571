"""A lesson: what a person teaches, and the rules for what may be one.

The identity of a lesson is its content. Two lessons with the same text, question and answer are the same lesson.
"""

import hashlib
import json
import unicodedata
from dataclasses import dataclass

from qfcore.errors import LessonError

MAX_CHARACTERS = 4000
"""Longest lesson text. It must fit into the observing context beside the question and the answer."""
MAX_FIELD_CHARACTERS = 1000
"""Longest question or answer."""

# Bidirectional controls, zero-width characters and the tag block would be obeyed by a screen but not seen by a person.
_INVISIBLE = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF}


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


def _clean(value: str, field: str, limit: int, *, required: bool = False) -> str:
    if not isinstance(value, str):
        raise LessonError(f"The {field} is {type(value).__name__}, a text was expected.")
    if len(value) > limit:
        raise LessonError(
            f"The {field} has {len(value):,} characters, at most {limit:,} fit into one lesson. Split it into several."
        )
    value = unicodedata.normalize("NFC", value).strip()
    if required and not value:
        raise LessonError("The lesson is empty. Write the fact or instruction that the model should learn.")
    for character in value:
        if _is_forbidden(character):
            raise LessonError(
                f"The {field} holds the invisible character U+{ord(character):04X}, "
                "which cannot be checked by eye. Remove it and try again."
            )
    return value


def _is_forbidden(character: str) -> bool:
    code = ord(character)
    if character in "\n\t":
        return False
    return (
        unicodedata.category(character) in {"Cc", "Cs"} or code in _INVISIBLE or 0xE0000 <= code <= 0xE007F
    )
