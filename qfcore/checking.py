"""Asking a version about its lessons again, and keeping what it says as evidence."""

import threading
from collections.abc import Sequence

from qfcore.answers import tells
from qfcore.evaluate import MANY, asking
from qfcore.runtime.protocol import Progress, Runtime
from qfcore.standing import Asked, Standing, status_of
from qfcore.store.records import LessonRecord, Version
from qfcore.store.store import Store
from qfcore.teach import Teacher

TOGETHER = 48
"""Questions that are asked together at least, where there are many; a stop loses what was said to them."""


def parts_of(records: Sequence[LessonRecord]) -> list[list[LessonRecord]]:
    """Lessons that are worth asking about together."""
    size = TOGETHER if sum(len(record.phrasings) for record in records) >= MANY else 1
    parts: list[list[LessonRecord]] = []
    for record in records:
        if not parts or sum(len(other.phrasings) for other in parts[-1]) >= size:
            parts.append([])
        parts[-1].append(record)
    return parts


def check_lessons(
    runtime: Runtime, store: Store, teacher: Teacher, version: Version, records: Sequence[LessonRecord],
    on_progress: Progress | None, cancel: threading.Event | None,
) -> list[Standing]:  # fmt: skip
    """How lessons of a version stand now, each asked in all its phrasings.

    Raises:
        Cancelled: `cancel` was set.
    """
    questions = [phrasing.question for record in records for phrasing in record.phrasings]
    ask, found = asking(len(questions)), []
    said = iter(ask(runtime, questions, teacher.routing(version).adapter, cancel=cancel, on_progress=on_progress))
    for record in records:
        answers = [(phrasing, next(said)) for phrasing in record.phrasings]
        asked = tuple(Asked(ph.question, answer, tells(answer, record.lesson, ph)) for ph, answer in answers)
        at = ""
        if not store.read_only:
            at = store.note_check(version, record.id, [(a.question, a.said, a.ok) for a in asked])
        found.append(Standing(status_of(asked), asked, version.number, at))
    return found
