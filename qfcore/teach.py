"""The recipe in order: lesson → phrasings → rows → change → report card. Read this file first.

Nothing here touches the live version: a preview is applied, or dropped, as a whole.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from qfcore.contradiction import Statement, contradicts
from qfcore.errors import LessonError
from qfcore.evaluate import Report
from qfcore.examine import Examiner, Learned
from qfcore.knowledge import Entry, Knowledge
from qfcore.lesson import Lesson, Phrasing
from qfcore.margin import Head
from qfcore.match import Matches, known_probes
from qfcore.observe import observe_phrasings
from qfcore.propose import propose_phrasings, propose_question, rarity_of
from qfcore.recipe import Recipe
from qfcore.relation import Relations, known_metric
from qfcore.routing import Hearing, Routing
from qfcore.rows import Rows, to_bytewise
from qfcore.runtime.protocol import Progress, Runtime, part_of
from qfcore.scope import Scope, scope_of
from qfcore.store.records import LessonRecord, PendingLesson, Version
from qfcore.store.store import Store
from qfcore.wordings import Wordings

_METHODS = {"ridge": "thorough or fast", "paper": "paper"}
_ROUTINGS_KEPT = 4
"""Versions whose routing is kept: the live one and those that it is compared with."""
_OBSERVED_KEPT = 16
"""Lessons whose rows are kept until they are applied, so that a second preview does not study them again."""
SOFTER = (0.7, 0.5)
"""By what the change of a lesson that makes the model repeat itself is multiplied, one after the other."""


@dataclass(frozen=True)
class Preview:
    """A change that could be applied: the lessons, what they replace, the report card."""

    pending: tuple[PendingLesson, ...]
    keep: tuple[Entry, ...]
    replaced: tuple[LessonRecord, ...]
    solve: dict
    report: Report
    based_on: int


class Teacher:
    """Prepares lessons for one runtime and one store."""

    def __init__(
        self, runtime: Runtime, store: Store, knowledge: Knowledge, head: Callable[[], Head | None], *,
        everything: bool = False,
    ) -> None:  # fmt: skip
        self._runtime, self._store, self._knowledge, self._head = runtime, store, knowledge, head
        self._everything = everything
        self._rarity = rarity_of(runtime)
        self._hearing = hearing_of(runtime, store.model.sha256, head)
        self._read = f"asks-{self._hearing.relations.metric.name}" if self._hearing else ""
        self._scopes: dict[Entry, Scope] = {}  # of the rows that were studied with it: another study has other questions
        self._routings: dict[str, Routing] = {}
        self._examiner = Examiner(runtime, store, self._rarity, self.routing)
        self._statements: dict[str, Statement] = {}
        self._observed: dict[tuple[str, str], PendingLesson] = {}

    def preview(
        self,
        lessons: Sequence[Lesson],
        recipe: Recipe,
        *,
        replaces: Sequence[LessonRecord] = (),
        asked: int | None = None,
        on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> Preview:
        """Everything up to the commit. asked: how many questions of each lesson the report card asks (None: all).

        Raises:
            LessonError: nothing to learn, or degenerate rows. Cancelled: `cancel` was set.
        """
        tell = on_progress or (lambda *_: None)
        learned = self.learn(
            lessons, recipe, replaces=replaces, on_progress=part_of(tell, 0.0, 0.6), cancel=cancel
        )
        started = time.perf_counter()
        learned, report = self.examine(learned, asked, on_progress=part_of(tell, 0.6, 0.4), cancel=cancel)
        seconds = {**learned.seconds, "check": time.perf_counter() - started}
        rounded = {name: round(value, 3) for name, value in seconds.items()}
        return Preview(
            learned.pending, learned.keep, tuple(replaces), learned.solve, replace(report, seconds=rounded),
            learned.live.number,
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
        gone = {record.id for record in replaces} | {lesson.id for lesson in lessons}
        keep = tuple(entry for entry in live.entries if entry[0] not in gone)
        check_together(live, keep, recipe)
        settings = self._knowledge.solve_settings(recipe)
        unique = list({lesson.id: lesson for lesson in lessons}.values())
        started = time.perf_counter()
        pending = tuple(
            self.observe(lesson, recipe, part_of(tell, 0.95 * i / len(unique), 0.95 / len(unique)), cancel)
            for i, lesson in enumerate(unique)
        )
        observed = time.perf_counter()
        tell(0.95, "Solving for the change of the weights")
        learned = self._solved(pending, keep, settings, live, {})
        seconds = {"observe": observed - started, "solve": time.perf_counter() - observed}
        return replace(learned, seconds=seconds)

    def _solved(
        self, pending: tuple[PendingLesson, ...], keep: tuple[Entry, ...], settings: dict, live: Version,
        seconds: dict[str, float],
    ) -> Learned:  # fmt: skip
        fresh = {p.entry: p.rows for p in pending}
        deltas = tuple(self._knowledge.delta_of([entry], settings, fresh.__getitem__) for entry in fresh)
        for p in pending:
            self._scopes[p.entry] = self._scope(p.lesson, p.phrasings)
        routing = self._route(live, [*keep, *fresh], settings, fresh)
        return Learned(pending, keep, settings, deltas, routing, live, seconds)

    def examine(
        self, learned: Learned, asked: int | None = None, *, on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> tuple[Learned, Report]:  # fmt: skip
        """The report card of lessons; those whose answers repeat themselves get a smaller change first.

        Where that does not end it, the report has `loops`. asked: as in `preview`.
        """
        tell, whole, softened = on_progress or (lambda *_: None), learned.pending, dict[str, float]()
        questions = self._examiner.questions(learned, asked, tell, cancel)
        report = self._examiner.report(learned, questions, tell, cancel)
        for strength in SOFTER:
            if not report.broken:
                break
            tell(0.4, "Answers repeat themselves: trying a smaller change")
            softened |= dict.fromkeys(report.broken, strength)
            pending = tuple(softer(p, softened[p.lesson.id]) if p.lesson.id in softened else p for p in whole)
            learned = self._solved(pending, learned.keep, learned.solve, learned.live, learned.seconds)
            report = self._examiner.report(learned, questions, tell, cancel)
        return learned, replace(report, softened=softened)

    def routing(self, version: Version) -> Routing:
        """Chooses among a version's lessons; kept for the versions last asked for."""
        known = self._routings.get(version.content)
        if known is not None:
            return known
        made = self._route(version, version.entries, version.solve, {})
        kept = list(self._routings.items())[-(_ROUTINGS_KEPT - 1) :]
        self._routings = {**dict(kept), version.content: made}
        return made  # another thread may have put out this entry already

    def _route(
        self, version: Version, entries: Sequence[Entry], settings: dict, fresh: Mapping[Entry, Rows]
    ) -> Routing:
        if any(entry not in self._scopes for entry in entries):
            for record in self._store.lessons(version):
                made = self._scope(record.lesson, record.phrasings)
                scope = self._scopes.setdefault((record.id, record.rows_digest), made)
                if self._hearing and (read := record.evidence.get(self._read)):
                    self._hearing.relations.remember(scope.question, read)
        return Routing(
            self._knowledge, sorted(entries), self._scopes, settings,
            lambda entry: fresh[entry] if entry in fresh else self._store.rows(entry[1]), hearing=self._hearing,
            everything=self._everything,
        )  # fmt: skip

    def _scope(self, lesson: Lesson, phrasings: Sequence[Phrasing]) -> Scope:
        questions = [phrasing.question for phrasing in phrasings]
        scope = scope_of(lesson, questions, self._rarity)
        return replace(scope, answer=phrasings[0].answer, studied=frozenset(questions)) if phrasings else scope

    def conflicts(
        self, lesson: Lesson, records: Sequence[LessonRecord], phrasings: Sequence[Phrasing] = ()
    ) -> list[LessonRecord]:
        """Those of these lessons that say otherwise. phrasings: how the lesson is asked for, where the model wrote that."""
        question = lesson.question or (phrasings[0].question if phrasings else "")
        asked = tuple(phrasings) or ((Phrasing(question, ""),) if question else ())
        new = Statement(lesson.text, question, self._scope(lesson, asked))
        return [record for record in records if record.id != lesson.id and contradicts(new, self._statement(record))]

    def _statement(self, record: LessonRecord) -> Statement:
        if record.rows_digest not in self._statements:
            question = record.phrasings[0].question if record.phrasings else record.lesson.question
            scope = self._scope(record.lesson, record.phrasings)
            self._statements[record.rows_digest] = Statement(record.lesson.text, question, scope)
        return self._statements[record.rows_digest]

    def observe(
        self, lesson: Lesson, recipe: Recipe, on_progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> PendingLesson:
        """A lesson's rows: those of an earlier teaching, or the model's own study of it now.

        Raises:
            LessonError: the model makes nothing of the lesson. Cancelled: `cancel` was set.
        """
        tell = on_progress or (lambda *_: None)
        known = self._store.known_rows(lesson.id, recipe.rows_key)
        if known is not None:  # taught before: the first rows win, so its bytes stay the same
            rows = self._store.rows(known.rows_digest)
            return PendingLesson(lesson, rows, recipe.rows_key, known.phrasings, known.evidence)
        if (observed := self._observed.get((lesson.id, recipe.rows_key))) is not None:
            return replace(observed, lesson=lesson)
        tell(0.0, "Finding questions for the lesson")
        question = propose_question(self._runtime, lesson, cancel)
        phrasings = propose_phrasings(self._runtime, lesson, question, recipe, cancel)
        if not phrasings:
            raise LessonError("The model has nothing to say about this lesson. Write it as a sentence, or add a question.")
        head = self._head() if recipe.margin > 0 else None
        rows = observe_phrasings(
            self._runtime, lesson, phrasings, recipe, head, on_progress=part_of(tell, 0.5, 0.5), cancel=cancel
        )
        evidence = {"question_by": _author(lesson)}
        if self._hearing and (asked := self._scope(lesson, phrasings).question):
            evidence[self._read] = self._hearing.relations.of(asked).to_text()
        made = PendingLesson(lesson, rows, recipe.rows_key, phrasings, evidence)
        kept = list(self._observed.items())[-(_OBSERVED_KEPT - 1) :]
        self._observed = {**dict(kept), (lesson.id, recipe.rows_key): made}
        return made


def hearing_of(runtime: Runtime, sha256: str, head: Callable[[], Head | None]) -> Hearing | None:
    """What reads messages for a model's file; None where the project does not have what was measured of it."""
    metric, probes = known_metric(sha256), known_probes(sha256)
    if metric is None or probes is None:
        return None
    return Hearing(Relations(runtime, metric), Matches(runtime, probes), Wordings(runtime, head))


def check_together(live: Version, keep: Sequence[Entry], recipe: Recipe) -> None:
    """See that a recipe's lessons can be solved together with those of a version that are kept.

    Raises:
        LessonError: those were taught at another layer, or by another method.
    """
    had, wanted = ({name: settings.get(name) for name in ("method", "layer")} for settings in (live.solve, asdict(recipe)))
    if not keep or all(value in (None, wanted[name]) for name, value in had.items()):
        return
    count, before = f"{len(keep)} lesson{'' if len(keep) == 1 else 's'}", _METHODS.get(had["method"], had["method"])
    raise LessonError(
        f"Version {live.number}, which is live, knows {count} taught with the method {before} at layer {had['layer']}; "
        f"{_METHODS[wanted['method']]}, at layer {wanted['layer']}, cannot be mixed with it. Teach with the same method, or "
        "go back to a version without lessons first (`qfchat restore base`)."
    )


def softer(pending: PendingLesson, strength: float) -> PendingLesson:
    """A lesson whose change is multiplied by less than 1: rows of their own, since they depend on nothing else either."""
    rows = replace(pending.rows, targets=to_bytewise(pending.rows.targets * np.float32(strength)))
    evidence = {**pending.evidence, "strength": strength}
    return replace(pending, rows=rows, recipe=f"{pending.recipe}~{strength:g}", evidence=evidence)


def _author(lesson: Lesson) -> str:
    return "user" if lesson.question else "model"

