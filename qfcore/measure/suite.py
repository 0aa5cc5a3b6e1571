"""Measuring learning on a suite, by the protocol of ../shared/suites/README.md: free greedy generation, no teacher forcing.

Recall: the questions. Generalisation: paraphrases that the learner never sees. Locality: neighbours' answers, compared with
the untaught base's under the same batching. Same subject: what the lesson does not answer. Survive: what is known of a real
subject. Ceiling: the same questions with the lesson in the prompt.
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
from qfcore.exports import FORMS, Exports
from qfcore.knowledge import Knowledge
from qfcore.lesson import Lesson, check_lesson
from qfcore.measure.conversations import ask_conversations, conversation_scores
from qfcore.measure.exported import Consumer, perplexity_of
from qfcore.measure.scores import (
    asked_questions,
    by_group,
    locality_of,
    loops_of,
    rate_of,
    same_subject_of,
    scores_of,
    split,
    survival_of,
    worst_of,
)
from qfcore.observe import student_messages, teacher_messages
from qfcore.recipe import Recipe
from qfcore.routing import Routing
from qfcore.runtime.protocol import ANY_QUESTION, Progress, part_of
from qfcore.store.store import Store
from qfcore.teach import Teacher
from qfcore.untaught import Taught, Untaught

TOKENS = 32
CONVERSATION_TOKENS = 64
"""An answer about two subjects, or a task, takes more than one sentence."""


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


def measure_suite(
    items: Sequence[dict], recipe: Recipe, *, home: str | Path | None = None, model: str | None = None,
    texts: Sequence[dict] = (), conversations: Sequence[dict] = (), everything: bool = False, strength: float = 1.0,
    fresh: bool = False, exported: str | None = None, on_progress: Progress | None = None,
) -> dict:  # fmt: skip
    """Teach all lessons together in a scratch store and ask.

    conversations: asked too, each with the lessons live that it names, which are to be among the items.
    everything: all lessons are active for every question, as in exported weights, whatever the question mentions.
    strength: by what their change is multiplied then (see `qfcore.exports.Exports`).
    fresh: ask the untaught model too, also what it was asked in earlier runs (qfcore/untaught.py).
    exported: "reach" or "plain": write a GGUF file of that form, and ask it and the base's file as others do
    (qfcore/measure/exported.py). Any other text is the path of such a file, which knows the suite's lessons already.

    Raises:
        LessonError: an item lacks `lesson`, `question` or `accept`; or a strength without `everything`.
    """
    if strength != 1 and not everything and exported is None:
        raise LessonError("A strength is for exported weights: measure it with --everything or --exported.")
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
                if exported is not None:
                    return _measure_file(
                        engine, store, items, recipe, texts, conversations, exported, strength, untaught, tell
                    )
                active = strength if everything else None
                return _measure(engine, store, items, recipe, texts, conversations, active, untaught, tell)
            finally:
                store.close()
    finally:
        engine.close()


def _measure(
    engine: Engine, store: Store, items: Sequence[dict], recipe: Recipe, texts: Sequence[dict],
    conversations: Sequence[dict], exported: float | None, untaught: Untaught, tell: Progress,
) -> dict:  # fmt: skip
    engine.prepare(lambda f, text: tell(0.1 * f, text))
    knowledge = Knowledge(store, store.model.architecture, engine.replay)
    teacher = Teacher(engine.runtime, store, knowledge, engine.head, everything=exported is not None)
    lessons = [lesson_of(item) for item in items]
    started = time.perf_counter()
    learned = teacher.learn(lessons, recipe, on_progress=lambda f, text: tell(0.1 + 0.4 * f, text))
    seconds = time.perf_counter() - started
    routing, net = learned.routing, {"softened": {}, "refused": []}
    if exported is None:  # as in the app: what makes the model repeat itself is not live
        tell(0.5, "Asking whether answers repeat themselves")
        learned, report = teacher.examine(learned, 1)
        routing = learned.routing.among({lesson.id for lesson in lessons} - report.broken)
        texts_of = {lesson.id: lesson.text for lesson in lessons}
        net = {
            "softened": {texts_of[lesson_id]: strength for lesson_id, strength in report.softened.items()},
            "refused": [texts_of[lesson_id] for lesson_id in sorted(report.broken)],
        }  # fmt: skip
    route = routing.adapter if exported is None else _exported(routing, store, exported)
    asking = time.perf_counter()
    base, ceiling, taught = ask_suite(untaught, lessons, items, route, on_progress=lambda f, t: tell(0.5 + 0.43 * f, t))
    learned.seconds["ask"] = time.perf_counter() - asking
    value = _rates_of(items, base, taught) | {
        "lessons": len(items),
        "ceiling": ceiling,
        "seconds_per_lesson": round(seconds / len(items), 3),
        "seconds": {name: round(value, 3) for name, value in learned.seconds.items()},
        "rank": sum(delta.rank for delta in learned.deltas),
        "rows_bytes": sum(len(p.rows.to_bytes()) for p in learned.pending),
        "net": net,
        "scope": _scopes(items, routing, [lesson.id for lesson in lessons]),
        "memory_bytes": psutil.Process().memory_info().rss,
        "untaught": {"asked": untaught.asked, "remembered": untaught.remembered},
    }
    if conversations:
        tell(0.92, "Asking conversations")
        ids = {item.get("id"): lesson.id for item, lesson in zip(items, lessons, strict=True)}
        value["conversations"] = conversation_scores(conversations, *ask_conversations(
            untaught, routing, conversations, ids, max_tokens=CONVERSATION_TOKENS
        ))  # fmt: skip
    if texts:
        tell(0.93, "Reading texts for the perplexity drift")
        value["drift"] = drift_of(engine, route, texts)
    return value


def _measure_file(
    engine: Engine, store: Store, items: Sequence[dict], recipe: Recipe, texts: Sequence[dict],
    conversations: Sequence[dict], exported: str, strength: float, untaught: Untaught, tell: Progress,
) -> dict:  # fmt: skip
    """The same of an exported file, and its bytes and tokens per second as shares of the base's."""
    path, written, seconds = Path(exported), {}, 0.0
    lessons, base_file = [lesson_of(item) for item in items], engine.runtime.facts.path
    if exported in FORMS:
        path, begun = store.folder / "exported.gguf", time.perf_counter()
        written = _write_exported(engine, store, lessons, recipe, path, exported, strength, tell)
        seconds = time.perf_counter() - begun
    questions = [student_messages(question) for item in items for question in asked_questions(item)]
    talks = [talk["messages"] for talk in conversations]
    said, told, speeds = [], [], []
    for number, file in enumerate((base_file, path)):
        consumer, part = Consumer(file), part_of(tell, 0.6 + 0.2 * number, 0.19)
        try:
            said.append(consumer.answers(questions, TOKENS, part))
            told.append(consumer.answers(talks, CONVERSATION_TOKENS, part))
            speeds.append(consumer.tokens_per_second)
        finally:
            consumer.close()
    _, ceiling, _ = ask_suite(untaught, lessons, items, lambda _: None)
    base, taught = said
    value = _rates_of(items, base, taught) | {
        "lessons": len(items), "ceiling": ceiling, "seconds_per_lesson": round(seconds / len(items), 3),
        "exported": {
            **written, "bytes_ratio": round(path.stat().st_size / base_file.stat().st_size, 4),
            "speed_ratio": round(speeds[1] / speeds[0], 4),
        },
        "memory_bytes": psutil.Process().memory_info().rss,
        "untaught": {"asked": untaught.asked, "remembered": untaught.remembered},
    }  # fmt: skip
    if talks:
        value["conversations"] = conversation_scores(conversations, *told)
    if texts:
        plain = [text["text"] for text in texts]
        before, after = (perplexity_of(file, plain) for file in (base_file, path))
        value["drift"] = {"base": round(before, 4), "taught": round(after, 4), "ratio": round(after / before, 5)}
    return value


def _write_exported(
    engine: Engine, store: Store, lessons: Sequence[Lesson], recipe: Recipe, out: Path, form: str, strength: float,
    tell: Progress,
) -> dict:  # fmt: skip
    """Teach in the scratch store and export from it, as the app does; what the net refuses is left out."""
    engine.prepare(part_of(tell, 0.0, 0.1))
    knowledge = Knowledge(store, store.model.architecture, engine.replay)
    teacher = Teacher(engine.runtime, store, knowledge, engine.head)
    learned, report = teacher.examine(teacher.learn(lessons, recipe, on_progress=part_of(tell, 0.1, 0.3)), 1)
    pending = [one for one in learned.pending if one.lesson.id not in report.broken]
    store.commit(keep=(), new=pending, solve=learned.solve, kind="teach", message="Suite", expect_live=None)
    exports = Exports(engine.runtime, store, knowledge, engine.head, engine.measured)
    with tempfile.TemporaryDirectory(prefix="qfchat-export-", dir=store.folder.parent) as folder:
        made = exports.gguf(Path(folder) / out.name, form=form, strength=strength, on_progress=part_of(tell, 0.4, 0.2))
        Path(made["path"]).replace(out)
    return {name: made[name] for name in ("form", "subjects", "missed", "softened", "bytes") if name in made} | {
        "refused": [one.lesson.text for one in learned.pending if one.lesson.id in report.broken]
    }


def _rates_of(items: Sequence[dict], base: Sequence[str], taught: Sequence[str]) -> dict:
    """What the answers of the untaught and the taught model say."""
    return {
        "taught": scores_of(items, taught),
        "base": scores_of(items, base),
        "locality": locality_of(items, base, taught),
        "same_subject": same_subject_of(items, base, taught),
        "survival": survival_of(items, base, taught),
        "loops": loops_of(items, base, taught),
        "groups": _groups(items, base, taught),
        "worst": worst_of(items, base, taught),
        "answers": _answers(items, base, taught),
    }


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
        told = [teacher_messages(lesson, question) for question in prompted_questions(item)]
        prompted, like = [*prompted, *told], [*like, *[teacher_messages(lesson, "0")] * len(told)]
    routed = {n: adapter for n, question in enumerate(questions) if (adapter := route(question))}
    said, new = untaught.answers(
        [*plain, *prompted], max_tokens=TOKENS, like=like, on_progress=on_progress,
        taught=[Taught(plain[n], ANY_QUESTION, adapter) for n, adapter in routed.items()],
    )  # fmt: skip
    base, answers = said[: len(plain)], iter(said[len(plain) :])
    hits: dict[str, list[bool]] = {"recall": [], "generalisation": [], "portability": []}
    for item in items:
        hits["recall"].append(says(next(answers), item["accept"]))
        hits["generalisation"] += [says(next(answers), item["accept"]) for _ in item.get("paraphrases", [])]
        hits["portability"] += [says(next(answers), pair["accept"]) for pair in item.get("portability", [])]
    taught = {**dict(enumerate(base)), **dict(zip(routed, new, strict=True))}
    return base, {name: rate_of(found) for name, found in hits.items()}, list(taught.values())


def prompted_questions(item: dict) -> list[str]:
    """What is asked with the lesson in the prompt: its question, the paraphrases, the consequences."""
    consequences = [pair["question"] for pair in item.get("portability", [])]
    return [item["question"], *item.get("paraphrases", []), *consequences]


def _groups(items: Sequence[dict], base: Sequence[str], taught: Sequence[str]) -> dict:
    """The rates of each group of a suite that has several."""
    starts = [0]
    for item in items:
        starts.append(starts[-1] + len(asked_questions(item)))

    def scores(numbers: Sequence[int]) -> dict:
        some = [items[n] for n in numbers]
        old, new = ([a for n in numbers for a in said[starts[n] : starts[n + 1]]] for said in (base, taught))
        rates = {**scores_of(some, new), **locality_of(some, old, new), **same_subject_of(some, old, new)}
        return {name: rates[name] for name in ("recall", "generalisation", "identical", "parrots", "loops")}

    return by_group(items, scores)


def _scopes(items: Sequence[dict], routing: Routing, ids: Sequence[str]) -> dict:
    """How often the own lesson is active for questions and paraphrases, and any lesson for neighbours."""
    questions = [routing.in_scope(item["question"]) for item in items]
    return {
        "questions": rate_of([own in active for own, active in zip(ids, questions, strict=True)]),
        "paraphrases": rate_of(
            [own in routing.in_scope(q) for own, item in zip(ids, items, strict=True)
             for q in item.get("paraphrases", [])]
        ),
        "neighbours": rate_of([bool(routing.in_scope(q)) for item in items for q in item.get("neighbours", [])]),
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
    pairs = zip(items, split(items, base), split(items, taught), strict=True)
    return [{"id": item.get("id", str(n)), "base": b, "taught": t} for n, (item, b, t) in enumerate(pairs)]
