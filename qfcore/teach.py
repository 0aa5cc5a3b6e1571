"""The recipe in order: lesson → phrasings → rows → change → report card. Read this file first.

Nothing here touches the live version: a preview works on a scratch adapter and is applied, or dropped, as a whole.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qfcore.delta import Delta
from qfcore.errors import LessonError
from qfcore.evaluate import PROBE_TOKENS, AskedQuestion, ProbeResult, Report, ask_all, tells
from qfcore.knowledge import Knowledge
from qfcore.lesson import Lesson
from qfcore.observe import observe_phrasings
from qfcore.propose import propose_phrasings, propose_question
from qfcore.recipe import Recipe
from qfcore.replay import assets_folder
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


@dataclass(frozen=True)
class Learned:
    """A solved change that nobody has asked yet; seconds by step."""

    pending: tuple[PendingLesson, ...]
    keep: tuple[tuple[str, str], ...]
    solve: dict
    delta: Delta
    adapter: Path
    live: Version
    taught: int
    seconds: dict[str, float]


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
        tell = on_progress or (lambda *_: None)
        learned = self.learn(
            lessons, recipe, replaces=replaces, on_progress=_part(tell, 0.0, 0.6), cancel=cancel
        )
        started = time.perf_counter()
        report = self._check(learned, _part(tell, 0.6, 0.4), cancel)
        seconds = {**learned.seconds, "check": time.perf_counter() - started}
        rounded = {name: round(value, 3) for name, value in seconds.items()}
        return Preview(
            learned.pending, learned.keep, tuple(replaces), learned.solve, replace(report, seconds=rounded),
            learned.adapter, learned.live.number,
        )  # fmt: skip

    def learn(
        self,
        lessons: Sequence[Lesson],
        recipe: Recipe,
        *,
        replaces: Sequence[LessonRecord] = (),
        on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> Learned:
        """Observe and solve, without asking whether it worked; raises as `preview` does."""
        tell = on_progress or (lambda *_: None)
        live = self._store.live()
        settings = self._knowledge.solve_settings(recipe)
        unique = list({lesson.id: lesson for lesson in lessons}.values())
        started = time.perf_counter()
        pending = tuple(
            self._observe(lesson, recipe, _part(tell, 0.95 * i / len(unique), 0.95 / len(unique)), cancel)
            for i, lesson in enumerate(unique)
        )
        observed = time.perf_counter()
        tell(0.95, "Solving for the change of the weights")
        gone = {record.id for record in replaces} | {p.lesson.id for p in pending}
        keep = tuple(entry for entry in live.entries if entry[0] not in gone)
        parts = [(lesson_id, self._store.rows(digest)) for lesson_id, digest in keep]
        parts += [(p.lesson.id, p.rows) for p in pending]
        delta = self._knowledge.solve(parts, settings)
        adapter = self._knowledge.scratch(delta, [*keep, *(p.entry for p in pending)], settings, self._scratch)
        seconds = {"observe": observed - started, "solve": time.perf_counter() - observed}
        taught = sum(int(rows.taught.sum()) for _, rows in parts)
        return Learned(pending, keep, settings, delta, adapter, live, taught, seconds)

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

    def _check(self, learned: Learned, tell: Progress, cancel: threading.Event | None) -> Report:
        before_adapter = self._knowledge.adapter(learned.live)
        asked = [(p.lesson, phrasing) for p in learned.pending for phrasing in p.phrasings]
        questions = [phrasing.question for _, phrasing in asked]
        tell(0.0, "Asking what it says today")
        before = ask_all(self._runtime, questions, before_adapter, cancel=cancel)
        tell(0.25, "Asking what it says after the lesson")
        after = ask_all(self._runtime, questions, learned.adapter, cancel=cancel)
        tell(0.5, "Asking unrelated questions")
        results = tuple(
            AskedQuestion(ph.question, ph.answer, old, new, tells(new, lesson, ph))
            for (lesson, ph), old, new in zip(asked, before, after, strict=True)
        )
        firsts = {p.phrasings[0].question for p in learned.pending}
        return Report(
            learned=all(r.ok for r in results if r.question in firsts),
            answers=results,
            probes=self._ask_probes(learned, before_adapter, cancel),
            change=learned.delta.norm,
            rank=learned.delta.rank,
            taught_positions=learned.taught,
            lessons=len(learned.keep) + len(learned.pending),
        )

    def _ask_probes(
        self, learned: Learned, before_adapter: Path | None, cancel: threading.Event | None
    ) -> tuple[ProbeResult, ...]:
        probes, name = load_probes(), before_adapter.stem if before_adapter else ""
        before = self._probe_answers.get(name)
        if before is None:
            before = ask_all(self._runtime, probes, before_adapter, max_tokens=PROBE_TOKENS, cancel=cancel)
        after = ask_all(self._runtime, probes, learned.adapter, max_tokens=PROBE_TOKENS, cancel=cancel)
        # Adapters are named by content: what a preview says now is what its version will have said before the next one.
        self._probe_answers = {name: before, learned.adapter.stem: after}
        return tuple(ProbeResult(q, old, new, old == new) for q, old, new in zip(probes, before, after, strict=True))


def load_probes() -> list[str]:
    """The fixed questions that no lesson is about."""
    return json.loads((assets_folder() / "probes.json").read_text(encoding="utf-8"))


def _part(tell: Progress, start: float, share: float) -> Callable[[float, str], None]:
    return lambda fraction, text: tell(start + share * fraction, text)


def _author(lesson: Lesson) -> str:
    return "user" if lesson.question else "model"


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())
