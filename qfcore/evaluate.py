"""Asking a version what it says, before and after: the report card that a user sees before a lesson is applied."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from qfcore.observe import student_messages
from qfcore.runtime.protocol import ANY_QUESTION, Progress, Runtime
from qfcore.standing import Asked, Standing, status_of, worst_of

ANSWER_TOKENS = 24
"""Longest answer to a taught question in the report card."""
PROBE_TOKENS = 12
"""Longest answer to an unrelated question; a change shows in the first words."""
_SAID = 80
"""Characters of an answer that a message quotes."""
MANY = 16
"""Questions from which on `ask_each` is faster than `ask_routed`."""


@dataclass(frozen=True)
class AskedQuestion:
    """A taught question: what the model said before, says now, and said with the lesson in its prompt (`taught`)."""

    question: str
    taught: str
    before: str
    after: str
    ok: bool
    lesson: str = ""
    """Id of the lesson that the question is about."""


@dataclass(frozen=True)
class ProbeResult:
    """An unrelated question before and after."""

    question: str
    before: str
    after: str
    same: bool


@dataclass(frozen=True)
class Loop:
    """An answer that repeats itself, and a lesson (by id) whose change was active when it was given."""

    lesson: str
    question: str
    answer: str

    @property
    def text(self) -> str:
        """What is wrong, and what to do."""
        said = self.answer if len(self.answer) <= _SAID else self.answer[:_SAID] + "…"
        return (
            f"With this lesson the model repeats itself. Asked “{self.question}” it says “{said}”. Word the lesson "
            "otherwise, give its question and a short answer, or teach it with the other method."
        )


@dataclass(frozen=True)
class Report:
    """The report card of a change; `change`, `rank` and `taught_positions` are those of the new lessons."""

    learned: bool
    answers: tuple[AskedQuestion, ...]
    probes: tuple[ProbeResult, ...]
    change: float
    """√Σ‖ΔW‖² over the lessons, Frobenius norms."""
    rank: int
    taught_positions: int
    lessons: int
    seconds: dict[str, float] = field(default_factory=dict)
    neighbours: tuple[ProbeResult, ...] = ()
    """Questions near the lesson that it does not answer: they share words with its subject, or with its relation."""
    others: tuple[ProbeResult, ...] = ()
    """Something else asked about the lessons' subjects."""
    loops: tuple[Loop, ...] = ()
    """Answers that repeat themselves, where they did not before: such a change is not applied."""
    softened: dict[str, float] = field(default_factory=dict)
    """By what the change of a lesson was multiplied because its answers repeated themselves, by id."""

    @property
    def softened_text(self) -> str:
        """That a smaller change was taken, and how small; empty where none was."""
        if not self.softened:
            return ""
        return f"Its answers repeated themselves, so a smaller change was taken ({min(self.softened.values()):.0%})."

    @property
    def broken(self) -> frozenset[str]:
        """Ids of the lessons whose answers repeat themselves."""
        return frozenset(loop.lesson for loop in self.loops)

    @property
    def standings(self) -> dict[str, Standing]:
        """How each lesson stands, with the evidence, by id."""
        asked: dict[str, list[Asked]] = {}
        for answer in self.answers:
            asked.setdefault(answer.lesson, []).append(Asked(answer.question, answer.after, answer.ok))
        return {lesson_id: Standing(status_of(questions), tuple(questions)) for lesson_id, questions in asked.items()}

    @property
    def statuses(self) -> dict[str, str]:
        """How each lesson stands (qfcore/standing.py), by id."""
        return {lesson_id: standing.status for lesson_id, standing in self.standings.items()}

    @property
    def status(self) -> str:
        """How the lessons stand together: as the worst of them."""
        return worst_of(self.statuses.values())

    @property
    def drift(self) -> float:
        """Share of the neighbours' words that changed, 0 to 1."""
        return sum(changed_share(n.before, n.after) for n in self.neighbours) / (len(self.neighbours) or 1)

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)


def changed_share(before: str, after: str) -> float:
    """How much of an answer changed, by words: 0 is the same answer, 1 no word in common."""
    return 1.0 - SequenceMatcher(None, before.split(), after.split(), autojunk=False).ratio()


def ask_all(
    runtime: Runtime, questions: Sequence[str], adapter: Path | None, *, max_tokens: int = ANSWER_TOKENS,
    cancel: threading.Event | None = None, on_progress: Progress | None = None,
) -> list[str]:  # fmt: skip
    """Greedy answers to questions, each in a fresh conversation."""
    conversations = [student_messages(q) for q in questions]
    answers = runtime.complete_many(
        conversations, max_tokens=max_tokens, adapter=adapter, like=[ANY_QUESTION] * len(conversations),
        cancel=cancel, on_progress=on_progress,
    )
    return [runtime.detokenize(tokens) for tokens in answers]


Route = Callable[[str], Path | None]
"""Chooses the adapter of a question."""


def ask_each(
    runtime: Runtime, questions: Sequence[str], route: Route, base: Sequence[str] | None = None, *,
    max_tokens: int = ANSWER_TOKENS, cancel: threading.Event | None = None, on_progress: Progress | None = None,
) -> list[str]:  # fmt: skip
    """As `ask_routed`, for many questions. base: asked in the same way, since the last bits differ between the two."""
    adapters = [route(question) for question in questions]
    new = [i for i, adapter in enumerate(adapters) if adapter or base is None]
    said = runtime.complete_each(
        [student_messages(questions[i]) for i in new], [adapters[i] for i in new], max_tokens=max_tokens,
        like=[ANY_QUESTION] * len(new), cancel=cancel, on_progress=on_progress,
    )  # fmt: skip
    answers = list(base or questions)
    for i, tokens in zip(new, said, strict=True):
        answers[i] = runtime.detokenize(tokens)
    return answers


def asking(count: int) -> Callable[..., list[str]]:
    """The faster of `ask_each` and `ask_routed` for so many questions; what is compared is asked by the same one."""
    return ask_each if count >= MANY else ask_routed


def ask_routed(
    runtime: Runtime, questions: Sequence[str], route: Route, base: Sequence[str] | None = None, *,
    max_tokens: int = ANSWER_TOKENS, cancel: threading.Event | None = None, on_progress: Progress | None = None,
) -> list[str]:  # fmt: skip
    """Greedy answers, each question with the weights that its words call for.

    base: what the untaught model answers to this very list, where it was asked. Where no lesson is in scope the weights are
    the base's and so is the answer, to the bit; it is not computed a second time.
    """
    tell = on_progress or (lambda *_: None)
    groups: dict[Path | None, list[int]] = {}
    for index, question in enumerate(questions):
        groups.setdefault(route(question), []).append(index)
    if base is not None:
        groups.pop(None, None)
    answers = ["" for _ in questions] if base is None else list(base)
    for done, (path, chosen) in enumerate(sorted(groups.items(), key=lambda group: str(group[0]))):
        tell(done / len(groups), f"Asking about {done + 1} of {len(groups)} subjects")
        said = ask_all(runtime, [questions[i] for i in chosen], path, max_tokens=max_tokens, cancel=cancel)
        for index, text in zip(chosen, said, strict=True):
            answers[index] = text
    return answers
