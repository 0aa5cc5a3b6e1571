"""Reading lessons from a file: JSON lines, CSV, or plain text with a lesson a line.

JSON lines: one object a line with `text` (or `lesson`), and optionally `question` and `answer`; other fields are left alone,
so that a suite can be taught. CSV: a header with the same names and no others, since a misspelt column would lose data.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from qfcore.errors import LessonError
from qfcore.lesson import Lesson, check_lesson

MAX_BYTES = 10 << 20
MAX_LESSONS = 10_000
_COLUMNS = ("text", "lesson", "question", "answer")


def read_lessons(path: Path) -> list[Lesson]:
    """The lessons of a file; all of them are checked before any is taught.

    Raises:
        LessonError: names the line that is wrong and why.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LessonError(f"{path} has more than {MAX_BYTES >> 20} MB. Split it into several files.")
        content = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LessonError(f"{path} cannot be read as a UTF-8 text file: {error}.") from error
    return lessons_of(content, path.name)


def lessons_of(content: str, name: str) -> list[Lesson]:
    """The lessons of a file's text; the end of its name says the form (.jsonl, .json, .csv, else plain text).

    Raises:
        LessonError: names the line that is wrong and why.
    """
    ending = Path(name).suffix.lower()
    reader = {".jsonl": _json_lines, ".json": _json_lines, ".ndjson": _json_lines, ".csv": _csv}.get(ending, _plain)
    lessons = []
    for line, value in reader(content, name):
        if len(lessons) == MAX_LESSONS:
            raise LessonError(f"{name} holds more than {MAX_LESSONS:,} lessons, which is what can be taught at once.")
        lessons.append(_lesson(value, name, line))
    if not lessons:
        raise LessonError(f"{name} holds no lessons. Expected: JSON objects with a field text, CSV, or a lesson a line.")
    return lessons


def _lesson(value: dict, name: str, line: int) -> Lesson:
    try:
        text = value.get("text") or value.get("lesson") or ""
        return check_lesson(text, value.get("question") or "", value.get("answer") or "", source=f"file:{name}")
    except LessonError as error:
        raise LessonError(f"{name}, line {line}: {error}") from error


def _json_lines(content: str, name: str) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(content.split("\n"), start=1):  # JSON may hold U+2028, which splitlines would split at
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_unique, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise LessonError(f"{name}, line {number}: no valid JSON ({error}).") from error
        if not isinstance(value, dict):
            raise LessonError(f"{name}, line {number}: a JSON object was expected, this is a {type(value).__name__}.")
        yield number, value


def _unique(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice in one object")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _csv(content: str, name: str) -> Iterator[tuple[int, dict]]:
    rows = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        header = [column.strip().lower() for column in next(rows, [])]
        unknown = [column for column in header if column not in _COLUMNS]
        if unknown or len(set(header)) != len(header) or not {"text", "lesson"} & set(header):
            raise LessonError(
                f"{name}, line 1: the header is {', '.join(header)[:200]!r}; text, question and answer were expected, "
                "the last two if you like, each once."
            )
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise LessonError(
                    f"{name}, line {rows.line_num}: {len(row)} cells, but the header has {len(header)}. "
                    "Put texts with commas between quotation marks."
                )
            yield rows.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise LessonError(f"{name}, line {rows.line_num}: no valid CSV ({error}).") from error


def _plain(content: str, _name: str) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            yield number, {"text": line.strip()}
