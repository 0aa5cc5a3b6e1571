"""Asking what a change does before it is live: its own questions, something else about its subjects, neighbours, probes.

No change goes live that makes the model repeat itself (`Report.loops`): such an answer is worse than a forgotten lesson.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qfcore.answers import tells
from qfcore.assets import assets_folder
from qfcore.delta import Delta
from qfcore.evaluate import PROBE_TOKENS, AskedQuestion, Loop, ProbeResult, Report, Route, ask_all, ask_routed, asking
from qfcore.knowledge import Entry
from qfcore.lesson import Lesson, Phrasing
from qfcore.loops import loops
from qfcore.propose import propose_neighbours
from qfcore.routing import Routing
from qfcore.runtime.protocol import Progress, Runtime
from qfcore.scope import Rarity, content_of
from qfcore.store.records import LessonRecord, PendingLesson, Version
from qfcore.store.store import Store
from qfcore.wording import shared_stretch

MOST_NEIGHBOURS = 4
"""Neighbouring questions in a report card."""
_SOMETHING_ELSE = ("Tell me something else about {subject}.", "What does {subject} look like?")


@dataclass(frozen=True)
class Learned:
    """Lessons that were observed and solved, but that nobody has asked yet.

    deltas: each new lesson's own change. routing: chooses among these and the live version's. seconds: by step.
    """

    pending: tuple[PendingLesson, ...]
    keep: tuple[Entry, ...]
    solve: dict
    deltas: tuple[Delta, ...]
    routing: Routing
    live: Version
    seconds: dict[str, float]

    @property
    def change(self) -> float:
        """√Σ‖ΔW‖² over the new lessons."""
        return sum(delta.norm**2 for delta in self.deltas) ** 0.5


@dataclass(frozen=True)
class Questions:
    """What is asked about new lessons: their own questions, something else about their subjects, neighbours.

    base, before: what the base and the live version answer to all of these; probes_before: the live version's to the probes.
    """

    own: tuple[tuple[Lesson, Phrasing], ...]
    others: tuple[str, ...]
    near: tuple[str, ...]
    base: Sequence[str] = ()
    before: Sequence[str] = ()
    probes_before: Sequence[str] = ()

    @property
    def texts(self) -> list[str]:
        """All questions, in order."""
        return [*(phrasing.question for _, phrasing in self.own), *self.others, *self.near]


class Examiner:
    """Asks the base, the live version and the new one. routing: chooses among a version's lessons."""

    def __init__(
        self, runtime: Runtime, store: Store, rarity: Rarity, routing: Callable[[Version], Routing]
    ) -> None:
        self._runtime, self._store, self._rarity, self._routing = runtime, store, rarity, routing
        self._base_probes: list[str] = []

    def questions(
        self, learned: Learned, limit: int | None, tell: Progress, cancel: threading.Event | None
    ) -> Questions:
        """What to ask about new lessons, and what is said today. limit: how many of each lesson's own questions (None: all,
        and neighbours).
        """
        own = tuple((p.lesson, phrasing) for p in learned.pending for phrasing in p.phrasings[:limit])
        others = tuple(question for p in learned.pending for question in something_else(p))
        tell(0.0, "Finding neighbouring questions")
        near = tuple(self._neighbours(learned, cancel)) if limit is None else ()
        asked, live = Questions(own, others, near), self._routing(learned.live).adapter
        tell(0.1, "Asking what it says today")
        ask = asking(len(asked.texts))
        base = ask(self._runtime, asked.texts, lambda _: None, cancel=cancel)
        before = ask(self._runtime, asked.texts, live, base, cancel=cancel)
        return replace(asked, base=base, before=before, probes_before=self._ask_probes(live, cancel))

    def report(
        self, learned: Learned, asked: Questions, tell: Progress, cancel: threading.Event | None
    ) -> Report:
        """The report card."""
        questions, first_near = asked.texts, len(asked.own) + len(asked.others)
        tell(0.4, "Asking what it says after the lesson")
        ask = asking(len(questions))
        after = ask(self._runtime, questions, learned.routing.adapter, asked.base, cancel=cancel)
        tell(0.8, "Asking unrelated questions")
        results = tuple(
            AskedQuestion(ph.question, ph.answer, old, new, tells(new, lesson, ph), lesson.id)
            for (lesson, ph), old, new in zip(asked.own, asked.before, after, strict=False)
        )
        said = [ProbeResult(q, old, new, old == new) for q, old, new in zip(questions, asked.before, after, strict=True)]
        firsts = {p.phrasings[0].question for p in learned.pending}
        probed = zip(load_probes(), asked.probes_before, self._ask_probes(learned.routing.adapter, cancel), strict=True)
        probes = tuple(ProbeResult(q, old, new, old == new) for q, old, new in probed)
        return Report(
            learned=all(r.ok for r in results if r.question in firsts),
            answers=results,
            probes=probes,
            change=learned.change,
            rank=sum(delta.rank for delta in learned.deltas),
            taught_positions=sum(int(p.rows.taught.sum()) for p in learned.pending),
            lessons=len(learned.keep) + len(learned.pending),
            neighbours=tuple(said[first_near:]),
            others=tuple(said[len(asked.own) : first_near]),
            loops=_loops(learned, [*said, *probes]),
        )

    def _neighbours(self, learned: Learned, cancel: threading.Event | None) -> list[str]:
        """Questions near the new lessons: those of earlier lessons that share rare words, and what the model proposes."""
        kept = {entry[0] for entry in learned.keep}
        others = [r for r in self._store.lessons(learned.live) if r.id in kept and r.phrasings]
        found: dict[str, None] = {}
        for pending in learned.pending:
            words = set(content_of(pending.lesson.text))
            shared = {r.id: sum(map(self._rarity, words & set(content_of(r.lesson.text)))) for r in others}
            nearest = sorted((r for r in others if shared[r.id]), key=lambda r: (-shared[r.id], r.number))
            found |= dict.fromkeys(r.phrasings[0].question for r in nearest[: MOST_NEIGHBOURS // 2])
        for pending in learned.pending[:MOST_NEIGHBOURS]:
            taught = [phrasing.question for phrasing in pending.phrasings]
            if len(found) < MOST_NEIGHBOURS:
                found |= dict.fromkeys(propose_neighbours(self._runtime, pending.lesson, taught, cancel))
        return list(found)[:MOST_NEIGHBOURS]

    def _ask_probes(self, route: Route, cancel: threading.Event | None) -> list[str]:
        probes = load_probes()
        if not self._base_probes:
            self._base_probes = ask_all(self._runtime, probes, None, max_tokens=PROBE_TOKENS, cancel=cancel)
        return ask_routed(self._runtime, probes, route, self._base_probes, max_tokens=PROBE_TOKENS, cancel=cancel)


def something_else(pending: PendingLesson | LessonRecord) -> list[str]:
    """Questions about a lesson's subject that it does not answer; none where it shares no words with its question."""
    subject = shared_stretch(pending.lesson.text, pending.phrasings[0].question)
    return [form.format(subject=subject) for form in _SOMETHING_ELSE] if subject else []


def _loops(learned: Learned, said: list[ProbeResult]) -> tuple[Loop, ...]:
    """What repeats itself, with each new lesson that was active there."""
    new, found = {p.lesson.id for p in learned.pending}, []
    for answer in said:
        if not answer.same and loops(answer.after, answer.before):
            active = new.intersection(learned.routing.in_scope(answer.question))
            found += [Loop(lesson_id, answer.question, answer.after) for lesson_id in sorted(active)]
    return tuple(dict.fromkeys(found))


def load_probes() -> list[str]:
    """The fixed questions that no lesson is about."""
    return json.loads((assets_folder() / "probes.json").read_text(encoding="utf-8"))
