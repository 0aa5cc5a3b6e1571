"""Many lessons at once: each is observed and kept before the next, so that stopped work goes on where it was."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qfcore.contradiction import ASK, KEEP, SKIP, contradiction_text
from qfcore.errors import Contradiction, LessonError
from qfcore.evaluate import Report
from qfcore.lesson import Lesson
from qfcore.recipe import Recipe
from qfcore.runtime.protocol import Progress
from qfcore.store.records import LessonRecord
from qfcore.store.store import Store
from qfcore.teach import Teacher

OBSERVED, KNOWN, REFUSED, SKIPPED = "observed", "known", "refused", "skipped"
SECONDS = {"thorough": 10.0, "fast": 2.0}
"""Seconds to study a lesson with the default model on two cores, for estimates."""


@dataclass(frozen=True)
class LessonState:
    """What became of one lesson: observed, known (it had been observed before), refused or skipped with a reason."""

    position: int
    lesson: Lesson
    state: str
    detail: str = ""

    @property
    def refused(self) -> bool:
        """Whether nothing can be taught from it, or nothing should."""
        return self.state in (REFUSED, SKIPPED)


@dataclass(frozen=True)
class Plan:
    """What a bulk teaching would do, before anything is computed."""

    new: tuple[Lesson, ...]
    resumed: tuple[Lesson, ...]
    """Observed before, by work that was stopped."""
    live: tuple[Lesson, ...]
    """Known to the live version already."""
    conflicts: tuple[tuple[Lesson, tuple[LessonRecord, ...]], ...]
    """Lessons that say otherwise than a live one, as far as their own words and questions show."""

    def seconds(self, method: str) -> float:
        """A rough estimate of the time, from what a lesson took on two cores."""
        return SECONDS.get(method, SECONDS["thorough"]) * len(self.new) + len(self.new) + len(self.resumed)


def plan_many(teacher: Teacher, store: Store, lessons: Sequence[Lesson], recipe: Recipe) -> Plan:
    """Sort lessons into new, observed before and known; name the contradictions."""
    live = store.live()
    known = set(live.lesson_ids)
    unique = list({lesson.id: lesson for lesson in lessons}.values())
    fresh = [lesson for lesson in unique if lesson.id not in known]
    resumed = [lesson for lesson in fresh if store.known_rows(lesson.id, recipe.rows_key)]
    records = store.lessons(live)
    found = [(lesson, tuple(teacher.conflicts(lesson, records))) for lesson in fresh]
    return Plan(
        tuple(lesson for lesson in fresh if lesson not in resumed), tuple(resumed),
        tuple(lesson for lesson in unique if lesson.id in known), tuple((a, b) for a, b in found if b),
    )  # fmt: skip


def observe_many(
    teacher: Teacher, store: Store, lessons: Sequence[Lesson], recipe: Recipe, *,
    on_progress: Progress | None = None, on_lesson: Callable[[LessonState], None] | None = None,
    cancel: threading.Event | None = None,
) -> list[LessonState]:  # fmt: skip
    """Observe lessons one by one; a lesson that cannot be taught is refused with its reason and the others go on.

    Raises:
        Cancelled: `cancel` was set; what was observed until then is kept for the next time.
    """
    tell = on_progress or (lambda *_: None)
    states: list[LessonState] = []
    for position, lesson in enumerate(lessons):
        tell(position / len(lessons), f"Lesson {position + 1} of {len(lessons)}")
        if store.known_rows(lesson.id, recipe.rows_key):
            state = LessonState(position, lesson, KNOWN)
        else:
            try:
                store.keep_rows(teacher.observe(lesson, recipe, cancel=cancel))
                state = LessonState(position, lesson, OBSERVED)
            except LessonError as error:
                state = LessonState(position, lesson, REFUSED, str(error))
        states.append(state)
        if on_lesson:
            on_lesson(state)
    return states


def without_broken(states: Sequence[LessonState], report: Report) -> list[LessonState]:
    """The same, those refused with which the model repeats itself."""
    loops = {loop.lesson: loop for loop in reversed(report.loops)}
    return [
        replace(state, state=REFUSED, detail=loops[state.lesson.id].text) if state.lesson.id in loops else state
        for state in states
    ]


def settle(
    teacher: Teacher, store: Store, states: Sequence[LessonState], recipe: Recipe, on_conflict: str
) -> tuple[list[LessonState], list[LessonRecord]]:
    """What to teach of observed lessons, and which live ones it replaces. on_conflict: of `qfcore.contradiction`.

    Raises:
        Contradiction: ASK, and a lesson says otherwise than a live one.
    """
    if on_conflict == KEEP:
        return list(states), []
    records, settled, replaced = store.lessons(store.live()), [], {}
    known_ids = {record.id for record in records}
    for state in states:
        found = []
        if not state.refused and state.lesson.id not in known_ids:
            known = store.known_rows(state.lesson.id, recipe.rows_key)
            found = teacher.conflicts(state.lesson, records, known.phrasings if known else ())
        if found and on_conflict == ASK:
            raise Contradiction(contradiction_text(state.lesson.text, found))
        if found and on_conflict == SKIP:
            state = replace(state, state=SKIPPED, detail=contradiction_text("", found))
        elif found:
            replaced |= {record.id: record for record in found}
        settled.append(state)
    return settled, list(replaced.values())
