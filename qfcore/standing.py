"""Whether lessons stuck: what the report cards of the history and fresh questions say of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LEARNED, WEAK, FAILED, UNCHECKED = "learned", "weak", "failed", "unchecked"


@dataclass(frozen=True)
class Asked:
    """One question about a lesson, what the model said, and whether that tells the lesson."""

    question: str
    said: str
    ok: bool


@dataclass(frozen=True)
class Standing:
    """How a lesson stands, with the evidence; version is the one whose report card says so (None: asked just now)."""

    status: str
    asked: tuple[Asked, ...] = ()
    version: int | None = None


@dataclass(frozen=True)
class Point:
    """One version of the learning curve: shares of questions that are answered as taught, of probes that stayed the same."""

    version: int
    lessons: int
    recall: float | None
    locality: float | None


def status_of(asked: Sequence[Asked]) -> str:
    """Learned: every question is answered as taught; weak: the first one at least; failed: not even that."""
    if not asked:
        return UNCHECKED
    if all(a.ok for a in asked):
        return LEARNED
    return WEAK if asked[0].ok else FAILED


def standings(lesson_ids: Iterable[str], reports: Iterable[tuple[int, Mapping]]) -> dict[str, Standing]:
    """The standing of each lesson by the newest report card that asked about it. reports: newest first."""
    open_ = dict.fromkeys(lesson_ids)
    found: dict[str, Standing] = {}
    for number, report in reports:
        asked: dict[str, list[Asked]] = {}
        for answer in report.get("answers", ()):
            if answer.get("lesson") in open_ and answer["lesson"] not in found:
                asked.setdefault(answer["lesson"], []).append(Asked(answer["question"], answer["after"], bool(answer["ok"])))
        for lesson_id, questions in asked.items():
            found[lesson_id] = Standing(status_of(questions), tuple(questions), number)
    return {lesson_id: found.get(lesson_id, Standing(UNCHECKED)) for lesson_id in open_}


def curve_of(reports: Iterable[tuple[int, Mapping]]) -> list[Point]:
    """The learning curve over the versions that have a report card, oldest first. reports: newest first."""
    points = []
    for number, report in reports:
        answers, probes = report.get("answers", ()), report.get("probes", ())
        recall = sum(bool(a["ok"]) for a in answers) / len(answers) if answers else None
        same = sum(bool(p["same"]) for p in probes) / len(probes) if probes else None
        points.append(Point(number, int(report.get("lessons", 0)), recall, same))
    return points[::-1]
