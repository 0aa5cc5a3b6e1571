"""The recipe in order: lesson → phrasings → rows → change → report card. Read this file first.

Nothing here touches the live version: a preview works on a scratch adapter and is applied, or dropped, as a whole.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qfcore.delta import Delta
from qfcore.errors import LessonError
from qfcore.evaluate import AskedQuestion, ProbeResult, Report, ask_all, tells
from qfcore.knowledge import Knowledge
from qfcore.lesson import Lesson
from qfcore.observe import observe_phrasings
from qfcore.propose import propose_phrasings, propose_question
from qfcore.recipe import Recipe
from qfcore.replay import assets_folder
from qfcore.rows import Rows
from qfcore.runtime.protocol import Progress, Runtime
from qfcore.store.records import LessonRecord, PendingLesson, Version
from qfcore.store.store import Store


@dataclass(frozen=True)
class Preview:
    """A change that could be applied: the lessons, what they replace, the report card, the scratch adapter."""

    pending: tuple[PendingLesson, ...]
    keep: tuple[tuple[str, str], ...]
    replaced: tuple[LessonRecord, ...]
    solve: dict
    report: Report
    adapter: Path
    based_on: int


@dataclass
class _Clock:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


class Teacher:
    """Prepares lessons for one runtime and one store."""

    def __init__(self, runtime: Runtime, store: Store, knowledge: Knowledge, scratch: Path) -> None:
        self._runtime, self._store, self._knowledge, self._scratch = runtime, store, knowledge, scratch
        self._probe_answers: dict[str, list[str]] = {}

    def preview(
        self,
        lessons: Sequence[Lesson],
        recipe: Recipe,
        *,
        replaces: Sequence[LessonRecord] = (),
        on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> Preview:
        """Everything up to the commit.

        Raises:
            LessonError: nothing to learn, or degenerate rows. Cancelled: `cancel` was set.
        """
        clock = _Clock()
        tell = on_progress or (lambda *_: None)
        live = self._store.live()
        settings = self._knowledge.solve_settings(recipe)
        with clock("observe"):
            pending = tuple(
                self._observe(lesson, recipe, _part(tell, 0.6 * i / len(lessons), 0.6 / len(lessons)), cancel)
                for i, lesson in enumerate({lesson.id: lesson for lesson in lessons}.values())
            )
        gone = {record.id for record in replaces} | {p.lesson.id for p in pending}
        keep = tuple(entry for entry in live.entries if entry[0] not in gone)
        with clock("solve"):
            tell(0.62, "Solving for the change of the weights")
            parts = [(lesson_id, self._store.rows(digest)) for lesson_id, digest in keep]
            parts += [(p.lesson.id, p.rows) for p in pending]
            delta = self._knowledge.solve(parts, settings)
            entries = [*keep, *(p.entry for p in pending)]
            adapter = self._knowledge.scratch(delta, entries, settings, self._scratch)
        with clock("check"):
            report = self._check(pending, live, delta, parts, adapter, _part(tell, 0.66, 0.34), cancel, clock)
        return Preview(pending, keep, tuple(replaces), settings, report, adapter, live.number)

    def conflicts(self, lesson: Lesson, version: Version) -> list[LessonRecord]:
        """Lessons of a version that answer the same question otherwise."""
        question = _plain(lesson.question)
        return [
            record
            for record in self._store.lessons(version)
            if record.id != lesson.id and question and question in {_plain(p.question) for p in record.phrasings[:1]}
        ]

    def _observe(
        self, lesson: Lesson, recipe: Recipe, tell: Progress, cancel: threading.Event | None
    ) -> PendingLesson:
        known = self._store.known_rows(lesson.id, recipe.rows_key)
        if known is not None:  # taught before: the first rows win, so its bytes stay the same
            rows = self._store.rows(known.rows_digest)
            return PendingLesson(lesson, rows, recipe.rows_key, known.phrasings, known.evidence)
        tell(0.0, "Finding questions for the lesson")
        question = propose_question(self._runtime, lesson, cancel)
        phrasings = propose_phrasings(self._runtime, lesson, question, recipe, cancel)
        if not phrasings:
            raise LessonError("The model has nothing to say about this lesson. Write it as a sentence, or add a question.")
        rows = observe_phrasings(
            self._runtime, lesson, phrasings, recipe, on_progress=_part(tell, 0.5, 0.5), cancel=cancel
        )
        return PendingLesson(lesson, rows, recipe.rows_key, phrasings, {"question_by": _author(lesson)})

    def _check(
        self, pending: Sequence[PendingLesson], live: Version, delta: Delta, parts: Sequence[tuple[str, Rows]],
        adapter: Path, tell: Progress, cancel: threading.Event | None, clock: _Clock,
    ) -> Report:  # fmt: skip
        before_adapter = self._knowledge.adapter(live)
        asked = [(p.lesson, phrasing) for p in pending for phrasing in p.phrasings]
        questions = [phrasing.question for _, phrasing in asked]
        tell(0.0, "Asking what it says today")
        before = ask_all(self._runtime, questions, before_adapter, cancel=cancel)
        tell(0.25, "Asking what it says after the lesson")
        after = ask_all(self._runtime, questions, adapter, cancel=cancel)
        tell(0.5, "Asking unrelated questions")
        probes = load_probes()
        if live.content not in self._probe_answers:
            answers = ask_all(self._runtime, probes, before_adapter, cancel=cancel)
            self._probe_answers = {live.content: answers}
        probes_after = ask_all(self._runtime, probes, adapter, cancel=cancel)
        results = tuple(
            AskedQuestion(ph.question, ph.answer, old, new, tells(new, lesson, ph))
            for (lesson, ph), old, new in zip(asked, before, after, strict=True)
        )
        firsts = {p.phrasings[0].question for p in pending}
        return Report(
            learned=all(r.ok for r in results if r.question in firsts),
            answers=results,
            probes=tuple(
                ProbeResult(q, old, new, old == new)
                for q, old, new in zip(probes, self._probe_answers[live.content], probes_after, strict=True)
            ),
            change=delta.norm,
            rank=delta.rank,
            taught_positions=int(sum(rows.taught.sum() for _, rows in parts)),
            lessons=len(parts),
            seconds={name: round(value, 3) for name, value in clock.seconds.items()},
        )


def load_probes() -> list[str]:
    """The fixed questions that no lesson is about."""
    return json.loads((assets_folder() / "probes.json").read_text(encoding="utf-8"))


def _part(tell: Progress, start: float, share: float) -> Callable[[float, str], None]:
    return lambda fraction, text: tell(start + share * fraction, text)


def _author(lesson: Lesson) -> str:
    return "user" if lesson.question else "model"


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())
