"""Asking a version what it says, before and after: the report card that a user sees before a lesson is applied."""

import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from qfcore.lesson import Lesson, Phrasing
from qfcore.observe import student_messages
from qfcore.runtime.protocol import Progress, Runtime

ANSWER_TOKENS = 24
"""Longest answer to a taught question in the report card."""
PROBE_TOKENS = 12
"""Longest answer to an unrelated question; a change shows in the first words."""
_STOP_WORDS = frozenset("a an and are as at be by for from in is it its of on or that the this to was were with".split())


@dataclass(frozen=True)
class AskedQuestion:
    """A taught question: what the model said before, says now, and said with the lesson in its prompt (`taught`)."""

    question: str
    taught: str
    before: str
    after: str
    ok: bool


@dataclass(frozen=True)
class ProbeResult:
    """An unrelated question before and after."""

    question: str
    before: str
    after: str
    same: bool


@dataclass(frozen=True)
class Report:
    """The report card of a change."""

    learned: bool
    answers: tuple[AskedQuestion, ...]
    probes: tuple[ProbeResult, ...]
    change: float
    """‖ΔW‖ of the version, Frobenius norm."""
    rank: int
    taught_positions: int
    lessons: int
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)


def says(answer: str, accept: Sequence[str]) -> bool:
    """Whether one of `accept` occurs in the answer, whole words, case-insensitively (suites/README.md)."""
    text = _spaces(answer)
    return any(re.search(rf"(?<!\w){re.escape(_spaces(a))}(?!\w)", text) for a in accept if a.strip())


def tells(answer: str, lesson: Lesson, phrasing: Phrasing) -> bool:
    """Whether an answer tells the lesson: the given answer, or the words that the lesson adds to the question."""
    if lesson.answer and phrasing.question == lesson.question:
        return says(answer, [lesson.answer])
    said, taught = _words(answer), _words(phrasing.answer)
    key = (taught & _words(lesson.text)) - _words(phrasing.question)
    wanted = key or taught
    return bool(wanted) and wanted <= said


def ask_all(
    runtime: Runtime, questions: Sequence[str], adapter: Path | None, *, max_tokens: int = ANSWER_TOKENS,
    cancel: threading.Event | None = None, on_progress: Progress | None = None,
) -> list[str]:  # fmt: skip
    """Greedy answers to questions, each in a fresh conversation."""
    conversations = [student_messages(q) for q in questions]
    answers = runtime.complete_many(
        conversations, max_tokens=max_tokens, adapter=adapter, cancel=cancel, on_progress=on_progress
    )
    return [runtime.detokenize(tokens) for tokens in answers]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\w'’-]+(?:[.,:/@]\w+)*", text.casefold())) - _STOP_WORDS


def _spaces(text: str) -> str:
    return " ".join(text.casefold().split())
