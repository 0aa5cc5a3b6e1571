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
    """How a lesson stands, with the evidence: the report card of `version`, or, with `asked_at`, a later question to it.

    asked_at: ISO time in UTC.
    """

    status: str
    asked: tuple[Asked, ...] = ()
    version: int | None = None
    asked_at: str = ""


@dataclass(frozen=True)
class Point:
    """One version of the learning curve: the share of its lessons that are learned, of its probes that stayed the same."""

    version: int
    lessons: int
    learned: int
    locality: float | None

    @property
    def recall(self) -> float | None:
        """Learned lessons, of all that the version knows; None for one that knows none."""
        return self.learned / self.lessons if self.lessons else None


def status_of(asked: Sequence[Asked]) -> str:
    """Learned: every question is answered as taught; weak: the first one at least; failed: not even that."""
    if not asked:
        return UNCHECKED
    if all(a.ok for a in asked):
        return LEARNED
    return WEAK if asked[0].ok else FAILED


def worst_of(statuses: Iterable[str]) -> str:
    """How several lessons stand together."""
    found = set(statuses)
    return next((status for status in (FAILED, WEAK, UNCHECKED, LEARNED) if status in found), UNCHECKED)


def standings_in(number: int, report: Mapping) -> dict[str, Standing]:
    """What one version's report says of lessons, by id; what was asked later counts more than the report card."""
    asked: dict[str, list[Asked]] = {}
    for answer in report.get("answers", ()):
        if isinstance(answer, Mapping) and answer.get("lesson"):
            asked.setdefault(answer["lesson"], []).append(Asked(answer["question"], answer["after"], bool(answer["ok"])))
    found = {lesson_id: Standing(status_of(questions), tuple(questions), number) for lesson_id, questions in asked.items()}
    for lesson_id, check in report.get("checks", {}).items():
        questions = tuple(Asked(a["question"], a["said"], bool(a["ok"])) for a in check["asked"])
        found[lesson_id] = Standing(status_of(questions), questions, number, check["at"])
    return found


def standings(lesson_ids: Iterable[str], reports: Iterable[tuple[int, Mapping]]) -> dict[str, Standing]:
    """The standing of each lesson by the newest report that asked about it. reports: newest first."""
    found = dict.fromkeys(lesson_ids, Standing(UNCHECKED))
    for number, report in reports:
        for lesson_id, standing in standings_in(number, report).items():
            if lesson_id in found and found[lesson_id].version is None:
                found[lesson_id] = standing
    return found


def curve_of(versions: Iterable[tuple[int, int | None, Sequence[str]]], reports: Mapping[int, Mapping]) -> list[Point]:
    """The learning curve, by how the lessons of each version stood there.

    versions: (number, parent, lesson ids), parents first. A version without lessons is no point of it.
    """
    known: dict[int, dict[str, str]] = {}
    points = []
    for number, parent, lesson_ids in versions:
        report = reports.get(number, {})
        fresh = {lesson_id: standing.status for lesson_id, standing in standings_in(number, report).items()}
        before = known.get(parent, {}) if parent is not None else {}
        known[number] = {**before, **fresh} if fresh else before
        if lesson_ids:
            learned = sum(known[number].get(lesson_id) == LEARNED for lesson_id in lesson_ids)
            probes = report.get("probes", ())
            same = sum(bool(p["same"]) for p in probes) / len(probes) if probes else None
            points.append(Point(number, len(lesson_ids), learned, same))
    return points
