"""Reading lessons from a JSONL file: one object a line with `text` (or `lesson`), and optionally `question`, `answer`."""

import json
from pathlib import Path

from qfcore.errors import LessonError
from qfcore.lesson import Lesson, check_lesson

MAX_BYTES = 10 << 20
MAX_LESSONS = 10_000


def read_lessons(path: Path) -> list[Lesson]:
    """The lessons of a file; all of them are checked before any is taught.

    Raises:
        LessonError: names the line that is wrong and why.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LessonError(f"{path} has more than {MAX_BYTES >> 20} MB. Split it into several files.")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LessonError(f"{path} cannot be read as a UTF-8 text file: {error}.") from error
    lessons = [_lesson(line, f"{path.name}, line {n}") for n, line in enumerate(lines, start=1) if line.strip()]
    if not lessons:
        raise LessonError(f"{path} holds no lessons. One JSON object a line was expected, with a field text.")
    if len(lessons) > MAX_LESSONS:
        raise LessonError(f"{path} holds {len(lessons):,} lessons, at most {MAX_LESSONS:,} can be taught at once.")
    return lessons


def _lesson(line: str, where: str) -> Lesson:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LessonError(f"{where}: no valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise LessonError(f"{where}: a JSON object was expected, this is a {type(value).__name__}.")
    try:
        return check_lesson(
            value.get("text") or value.get("lesson") or "", value.get("question") or "", value.get("answer") or "",
            source=f"file:{where.split(',')[0]}",
        )  # fmt: skip
    except LessonError as error:
        raise LessonError(f"{where}: {error}") from error
