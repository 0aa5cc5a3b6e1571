"""Recall, generalisation, locality and drift over the number of lessons taught together: a table and a picture.

    python -m benchmarks.curve SUITE.jsonl --home DIR [--sizes 1,3,10,30,100,300,1000] [--method fast] [--sample 40]
        [--text TEXTS.jsonl] [--everything] [--out FILE.json]

Lessons are taught once, in chunks, into the store in --home; a stopped run goes on where it was. At each size --sample of
the lessons taught so far are asked by the protocol of the suites: those of the size before and, until there are enough,
others drawn at random, so that the large sizes differ in what else is known and in nothing else. The picture needs
matplotlib (the extra `bench`) and lies beside the JSON.
"""

import argparse
import json
import random
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from qfcore.engine import Engine
from qfcore.lesson import Lesson
from qfcore.measure.scores import asked_questions, counted, locality_of, scores_of
from qfcore.measure.suite import ask_suite, drift_of, lesson_of, read_suite, untaught_of
from qfcore.recipe import Recipe, recipe_named
from qfcore.teach import Teacher

CHUNK = 10
SERIES = (("recall", "taught"), ("generalisation", "taught"), ("identical", "locality"))


def main() -> None:
    """Teach, measure at each size, print the table, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--sizes", default="1,3,10,30,100,300,1000")
    parser.add_argument("--method", default="fast")
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--everything", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("curve.json"))
    options = parser.parse_args()
    sizes = sorted(int(size) for size in options.sizes.split(","))
    items = read_suite(options.suite, sizes[-1])
    texts = read_suite(options.text, 100) if options.text else []
    engine = Engine.open(home=options.home)
    engine.recipe = recipe = recipe_named(options.method)
    engine.prepare(lambda fraction, text: print(f"{fraction:4.0%} {text}", flush=True))
    points, sample = [], []
    try:
        for size in [s for s in sizes if s <= len(items)]:
            seconds = teach(engine, [lesson_of(item) for item in items[:size]], recipe)
            sample = sample_of(items[:size], sample, options.sample)
            figures = measure(engine, sample, texts, everything=options.everything)
            points.append({"lessons": size, **figures, "seconds_per_lesson": seconds})
            print(row(points[-1]), flush=True)
            result = {
                "suite": options.suite.name, "method": options.method, "everything": options.everything, "points": points,
            }  # fmt: skip
            options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    finally:
        engine.close()
    draw(result, options.out.with_suffix(".png"))


def teach(engine: Engine, lessons: Sequence[Lesson], recipe: Recipe) -> float | None:
    """Teach what the live version does not know yet; seconds per lesson, None when there was nothing to do."""
    known = set(engine.store.live().lesson_ids)
    new = [lesson for lesson in lessons if lesson.id not in known]
    started = time.perf_counter()
    for begin in range(0, len(new), CHUNK):
        learned = engine.teacher.learn(new[begin : begin + CHUNK], recipe)
        engine.store.commit(
            keep=learned.keep, new=learned.pending, solve=learned.solve, kind="teach",
            message=f"{len(learned.pending)} lessons", expect_live=learned.live.number,
        )  # fmt: skip
        print(f"  taught {begin + len(learned.pending)} of {len(new)}", flush=True)
    return (time.perf_counter() - started) / len(new) if new else None


def sample_of(items: Sequence[dict], before: Sequence[dict], size: int) -> list[dict]:
    """The lessons asked `before` and others of `items` at random, up to `size`."""
    others = [item for item in items if item not in before]
    return [*before, *random.Random(len(items)).sample(others, min(size - len(before), len(others)))]


def measure(engine: Engine, sample: Sequence[dict], texts: Sequence[dict], *, everything: bool) -> dict:
    """The suite's figures on some of the lessons that are live."""
    teacher = Teacher(engine.runtime, engine.store, engine.knowledge, engine.head, everything=everything)
    version = engine.store.live()
    routing = teacher.routing(version)
    questions = [question for item in sample for question in asked_questions(item)]
    shutil.rmtree(engine.store.folder / "adapters", ignore_errors=True)  # solved anew, and timed
    started = time.perf_counter()
    active = [routing.of_text(question) for question in questions]
    routed = (time.perf_counter() - started) / len(questions)
    lessons = [lesson_of(item) for item in sample]
    base, ceiling, taught = ask_suite(untaught_of(engine), lessons, sample, routing.adapter)
    value = {
        "taught": scores_of(sample, taught), "base": scores_of(sample, base),
        "ceiling": ceiling,
        "locality": locality_of(sample, base, taught),
        "active_per_question": statistics.mean(len(found.lesson_ids) for found in active),
        "route_and_solve_seconds": round(routed, 4),
        "store_bytes_per_lesson": _store_bytes(engine) // len(version.entries),
    }  # fmt: skip
    if texts:
        value["drift"] = drift_of(engine, routing.adapter, texts)
    return value


def _store_bytes(engine: Engine) -> int:
    return sum(path.stat().st_size for path in engine.store.folder.glob("*.db*"))


def row(point: dict) -> str:
    """One line of the table."""

    def cell(who: str, name: str) -> str:
        return counted(point[who][name])

    drift = f"{point['drift']['ratio']:.4f}" if "drift" in point else "–"
    taught = f"{point['seconds_per_lesson']:.1f}" if point["seconds_per_lesson"] else "–"
    return (
        f"| {point['lessons']:,} | {cell('base', 'recall')} | {cell('taught', 'recall')} | {cell('ceiling', 'recall')} "
        f"| {cell('taught', 'generalisation')} | {cell('ceiling', 'generalisation')} | {cell('locality', 'identical')} "
        f"| {drift} | {taught} | {point['route_and_solve_seconds'] * 1000:.0f} |"
    )


def draw(result: dict, out: Path) -> None:
    """The curve as a picture."""
    from matplotlib import pyplot

    points = result["points"]
    sizes = [point["lessons"] for point in points]
    drift = [100 * (point["drift"]["ratio"] - 1) for point in points if "drift" in point]
    figure, (axes, below) = pyplot.subplots(2, sharex=True, figsize=(7, 4.6), layout="constrained", height_ratios=(3, 1))
    for name, who in SERIES:
        rates = [point[who][name] for point in points]
        label = name if who == "taught" else "neighbours identical"
        line = axes.plot(sizes, [r["rate"] for r in rates], marker="o", label=label)
        low, high = zip(*(r["interval"] for r in rates), strict=True)
        axes.fill_between(sizes, low, high, alpha=0.12, color=line[0].get_color())
        if who == "taught":
            ceiling = [point["ceiling"][name]["rate"] for point in points]
            axes.plot(sizes, ceiling, linestyle=":", color=line[0].get_color(), label=f"{name}, lesson in the prompt")
    axes.set(xscale="log", ylim=(0, 1.03), ylabel="share of answers", title=result["suite"])
    if drift:
        below.plot(sizes, drift, marker="o", color="tab:red")
    below.set(ylim=(min([0, *drift]) - 0.1, max([1, *drift]) + 0.1), ylabel="drift, %", xlabel="lessons known together")
    below.set_xticks(sizes, [f"{size:,}" for size in sizes])
    for part in (axes, below):
        part.minorticks_off()
        part.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(out, dpi=130)


if __name__ == "__main__":
    main()
