"""Measuring learning on a suite, by the protocol of ../shared/suites/README.md: free greedy generation, no teacher forcing.

Recall: the questions. Generalisation: paraphrases that the learner never sees. Locality: neighbours' answers, compared with
the untaught base's under the same batching. Ceiling: the same questions with the lesson in the prompt.
"""

import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from qfcore.answers import says
from qfcore.engine import Engine
from qfcore.errors import LessonError
from qfcore.evaluate import Route
from qfcore.export.adapter import read_adapter, write_adapter
from qfcore.knowledge import Knowledge
from qfcore.lesson import Lesson, check_lesson
from qfcore.observe import student_messages, teacher_messages
from qfcore.recipe import Recipe
from qfcore.routing import Routing
from qfcore.runtime.protocol import ANY_QUESTION, Progress
from qfcore.store.store import Store
from qfcore.teach import Teacher
from qfcore.untaught import Taught, Untaught

TOKENS = 32
_WILSON_Z = 1.959964


def read_suite(path: Path, limit: int | None) -> list[dict]:
    """The first `limit` objects of a JSONL file.

    Raises:
        LessonError: the file cannot be read, or a line is no JSON object.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        items = [json.loads(line) for line in lines[:limit]]
    except (OSError, ValueError) as error:
        raise LessonError(f"The suite {path} cannot be read: {error}. A JSONL file was expected.") from error
    if not items or not all(isinstance(item, dict) for item in items):
        raise LessonError(f"The suite {path} holds no JSON objects; one a line was expected.")
    return items


def wilson(hits: int, total: int) -> list[float]:
    """95 % Wilson interval of a rate."""
    if total == 0:
        return [0.0, 1.0]
    rate, z2 = hits / total, _WILSON_Z**2
    centre = (rate + z2 / (2 * total)) / (1 + z2 / total)
    half = _WILSON_Z * math.sqrt(rate * (1 - rate) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return [round(max(0.0, centre - half), 4), round(min(1.0, centre + half), 4)]


def measure_suite(
    items: Sequence[dict], recipe: Recipe, *, home: str | Path | None = None, model: str | None = None,
    texts: Sequence[dict] = (), everything: bool = False, strength: float = 1.0, fresh: bool = False,
    on_progress: Progress | None = None,
) -> dict:  # fmt: skip
    """Teach all lessons together in a scratch store and ask.

    everything: all lessons are active for every question, as in exported weights, whatever the question mentions.
    strength: by what their change is multiplied then (see `qfcore.exports.Exports`).
    fresh: ask the untaught model too, also what it was asked in earlier runs (qfcore/untaught.py).

    Raises:
        LessonError: an item lacks `lesson`, `question` or `accept`; or a strength without `everything`.
    """
    if strength != 1 and not everything:
        raise LessonError("A strength is for exported weights, where all lessons are active: measure it with --everything.")
    tell = on_progress or (lambda *_: None)
    for number, item in enumerate(items, start=1):
        if missing := {"lesson", "question", "accept"} - item.keys():
            raise LessonError(f"Item {number} of the suite lacks {', '.join(sorted(missing))}.")
    engine = Engine.open(home=home, model=model, read_only=True, on_progress=on_progress)
    try:
        engine.recipe = recipe
        with tempfile.TemporaryDirectory(prefix="qfchat-eval-") as folder:
            store = Store.open(Path(folder), engine.store.model)
            try:
                untaught = untaught_of(engine, fresh=fresh)
                return _measure(engine, store, items, recipe, texts, strength if everything else None, untaught, tell)
            finally:
                store.close()
    finally:
        engine.close()


def _measure(
    engine: Engine, store: Store, items: Sequence[dict], recipe: Recipe, texts: Sequence[dict], exported: float | None,
    untaught: Untaught, tell: Progress,
) -> dict:  # fmt: skip
    engine.prepare(lambda f, text: tell(0.1 * f, text))
    knowledge = Knowledge(store, store.model.architecture, engine.replay)
    teacher = Teacher(engine.runtime, store, knowledge, engine.head, everything=exported is not None)
    lessons = [lesson_of(item) for item in items]
    started = time.perf_counter()
    learned = teacher.learn(lessons, recipe, on_progress=lambda f, text: tell(0.1 + 0.4 * f, text))
    seconds = time.perf_counter() - started
    route = learned.routing.adapter if exported is None else _exported(learned.routing, store, exported)
    asking = time.perf_counter()
    base, ceiling, taught = ask_suite(untaught, lessons, items, route, on_progress=lambda f, t: tell(0.5 + 0.43 * f, t))
    learned.seconds["ask"] = time.perf_counter() - asking
    value = {
        "lessons": len(items),
        "taught": scores_of(items, taught),
        "base": scores_of(items, base),
        "ceiling": ceiling,
        "locality": locality_of(items, base, taught),
        "seconds_per_lesson": round(seconds / len(items), 3),
        "seconds": {name: round(value, 3) for name, value in learned.seconds.items()},
        "rank": sum(delta.rank for delta in learned.deltas),
        "rows_bytes": sum(len(p.rows.to_bytes()) for p in learned.pending),
        "scope": _scopes(items, learned.routing, [lesson.id for lesson in lessons]),
        "memory_bytes": psutil.Process().memory_info().rss,
        "answers": _answers(items, base, taught),
        "untaught": {"asked": untaught.asked, "remembered": untaught.remembered},
    }
    if texts:
        tell(0.93, "Reading texts for the perplexity drift")
        value["drift"] = drift_of(engine, route, texts)
    return value


def _exported(routing: Routing, store: Store, strength: float) -> Route:
    """Chooses the change of all lessons at a strength, whatever is asked."""
    if strength == 1:
        return routing.adapter
    whole, path = read_adapter(routing.adapter(""))[0], store.folder / "exported.gguf"
    write_adapter(whole.scaled(strength), path, architecture=store.model.architecture, metadata={})
    return lambda _: path


def lesson_of(item: dict) -> Lesson:
    """What one item teaches."""
    return check_lesson(item["lesson"], item["question"], item.get("answer", ""))


def asked_questions(item: dict) -> list[str]:
    """All questions of one item, in the order that the scores expect."""
    portable = [p["question"] for p in item.get("portability", [])]
    return [item["question"], *item.get("paraphrases", []), *item.get("neighbours", []), *portable]


def _split(items: Sequence[dict], answers: Sequence[str]) -> list[dict[str, list[str]]]:
    parts, position = [], 0
    for item in items:
        part = {}
        for name, count in (
            ("question", 1), ("paraphrases", len(item.get("paraphrases", []))),
            ("neighbours", len(item.get("neighbours", []))), ("portability", len(item.get("portability", []))),
        ):  # fmt: skip
            part[name] = list(answers[position : position + count])
            position += count
        parts.append(part)
    return parts


def _rate(hits: Sequence[bool]) -> dict:
    total = len(hits)
    return {
        "rate": round(sum(hits) / total, 4) if total else None, "hits": sum(hits), "of": total,
        "interval": wilson(sum(hits), total),
    }  # fmt: skip


def counted(rate: dict) -> str:
    """A rate as "hits/of"; "–" where nothing was asked."""
    return f"{rate['hits']}/{rate['of']}" if rate["of"] else "–"


def scores_of(items: Sequence[dict], answers: Sequence[str]) -> dict:
    """Recall, generalisation and portability of the answers to all questions of all items."""
    parts = _split(items, answers)
    pairs = list(zip(items, parts, strict=True))
    return {
        "recall": _rate([says(part["question"][0], item["accept"]) for item, part in pairs]),
        "generalisation": _rate([says(a, item["accept"]) for item, part in pairs for a in part["paraphrases"]]),
        "portability": _rate(
            [says(a, p["accept"]) for item, part in pairs
             for a, p in zip(part["portability"], item.get("portability", []), strict=True)]
        ),
    }  # fmt: skip


def untaught_of(engine: Engine, *, fresh: bool = False) -> Untaught:
    """The untaught model of an engine, which remembers what it was asked. fresh: it remembers nothing yet."""
    folder = engine.paths.models / "untaught"
    return Untaught(engine.runtime, folder, engine.store.model.sha256, fresh=fresh)


def ask_suite(
    untaught: Untaught, lessons: Sequence[Lesson], items: Sequence[dict], route: Route, *,
    on_progress: Progress | None = None,
) -> tuple[list[str], dict, list[str]]:  # fmt: skip
    """Ask all questions: what the untaught model answers; the ceiling, which is recall and generalisation with the lesson in
    the prompt; what the taught model answers, where no lesson is in scope the untaught one's answer.
    """
    questions = [question for item in items for question in asked_questions(item)]
    plain = [student_messages(question) for question in questions]
    prompted, like = [], [ANY_QUESTION] * len(plain)
    for lesson, item in zip(lessons, items, strict=True):
        told = [teacher_messages(lesson, question) for question in _prompted(item)]
        prompted, like = [*prompted, *told], [*like, *[teacher_messages(lesson, "0")] * len(told)]
    routed = {n: adapter for n, question in enumerate(questions) if (adapter := route(question))}
    said, new = untaught.answers(
        [*plain, *prompted], max_tokens=TOKENS, like=like, on_progress=on_progress,
        taught=[Taught(plain[n], ANY_QUESTION, adapter) for n, adapter in routed.items()],
    )  # fmt: skip
    base, answers, recall, generalisation = said[: len(plain)], iter(said[len(plain) :]), [], []
    for item in items:
        recall.append(says(next(answers), item["accept"]))
        generalisation += [says(next(answers), item["accept"]) for _ in item.get("paraphrases", [])]
    taught = {**dict(enumerate(base)), **dict(zip(routed, new, strict=True))}
    return base, {"recall": _rate(recall), "generalisation": _rate(generalisation)}, list(taught.values())


def _prompted(item: dict) -> list[str]:
    return [item["question"], *item.get("paraphrases", [])]


def locality_of(items: Sequence[dict], base: Sequence[str], taught: Sequence[str]) -> dict:
    """How many neighbours' answers are the base's, to the letter and in meaning."""
    before = [a for part in _split(items, base) for a in part["neighbours"]]
    after = [a for part in _split(items, taught) for a in part["neighbours"]]
    return {
        "identical": _rate([a == b for a, b in zip(before, after, strict=True)]),
        "same_meaning": _rate([_keeps(a, b) for a, b in zip(before, after, strict=True)]),
    }


def _keeps(before: str, after: str) -> bool:
    """Whether all names, numbers and long words of the first sentence before still occur after."""
    first = before.split(". ")[0]
    words = [w.strip(".,;:!?\"'()") for w in first.split()]
    key = [w for w in words if w and (w[0].isupper() or w[0].isdigit() or len(w) > 6)]
    return all(says(after, [w]) for w in key)


def _scopes(items: Sequence[dict], routing: Routing, ids: Sequence[str]) -> dict:
    """How often the own lesson is active for questions and paraphrases, and any lesson for neighbours."""
    questions = [routing.in_scope(item["question"]) for item in items]
    return {
        "questions": _rate([own in active for own, active in zip(ids, questions, strict=True)]),
        "paraphrases": _rate(
            [own in routing.in_scope(q) for own, item in zip(ids, items, strict=True)
             for q in item.get("paraphrases", [])]
        ),
        "neighbours": _rate([bool(routing.in_scope(q)) for item in items for q in item.get("neighbours", [])]),
        "active_per_question": round(sum(map(len, questions)) / len(items), 3),
    }  # fmt: skip


def drift_of(engine: Engine, route: Route, texts: Sequence[dict]) -> dict:
    """Perplexity over all texts; a text in which no lesson is in scope is read by the base itself."""
    plain = [t["text"] for t in texts]
    base = engine.runtime.perplexity_parts(plain, adapter=None)
    taught = [
        part if (path := route(text)) is None else engine.runtime.perplexity_parts([text], adapter=path)[0]
        for text, part in zip(plain, base, strict=True)
    ]
    values = [math.exp(sum(total for total, _ in p) / max(sum(count for _, count in p), 1)) for p in (base, taught)]
    return {"base": round(values[0], 4), "taught": round(values[1], 4), "ratio": round(values[1] / values[0], 5)}


def _answers(items: Sequence[dict], base: Sequence[str], taught: Sequence[str]) -> list[dict]:
    pairs = zip(items, _split(items, base), _split(items, taught), strict=True)
    return [{"id": item.get("id", str(n)), "base": b, "taught": t} for n, (item, b, t) in enumerate(pairs)]


def table_lines(value: dict) -> list[str]:
    """The result as a table of text."""

    def cell(rate: dict) -> str:
        if rate["rate"] is None:
            return "–"
        low, high = rate["interval"]
        return f"{rate['rate']:.2f} [{low:.2f}, {high:.2f}] ({rate['hits']}/{rate['of']})"

    lines = [f"{value.get('suite', '')}, {value['lessons']} lessons taught together, method {value.get('method', '')}"]
    for name in ("recall", "generalisation", "portability"):
        for who in ("taught", "ceiling", "base"):
            if name in value[who]:
                lines.append(f"  {name:15} {who:8} {cell(value[who][name])}")
    lines += [f"  locality        {name:13} {cell(rate)}" for name, rate in value["locality"].items()]
    scope = value["scope"]
    lines += [f"  in scope        {name:13} {cell(scope[name])}" for name in ("questions", "paraphrases", "neighbours")]
    if "drift" in value:
        lines.append(f"  perplexity taught / base: {value['drift']['ratio']:.4f}")
    lines.append(f"  {value['seconds_per_lesson']:.1f} s per lesson, rank {value['rank']}")
    remembered = value["untaught"]["remembered"]
    again = f", {remembered} answers of the untaught model remembered (--fresh asks again)" if remembered else ""
    lines.append(f"  all questions asked in {value['seconds']['ask']:.0f} s{again}")
    return lines
