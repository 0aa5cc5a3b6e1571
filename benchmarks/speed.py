"""Speed and memory of QF Chat beside llama-cpp-python alone, in the same run on the same machine.

    python -m benchmarks.speed [--model NAME_OR_PATH] [--rounds N]

Prints JSON. Rounds alternate between the two, so that other load on the machine hits both alike; ratios are of medians.
Answers are measured on the base, with one lesson, and with 100 and 1,000 lessons live, which have random rows of the size of
real ones: how many there are costs time, not what they say. Speeds are also given as shares of what the machine's memory and
arithmetic allow (`benchmarks/limits.py`).
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.limits import memory_bandwidth, operations
from qfcore.engine import Engine  # before llama_cpp: it says how llama.cpp's threads wait
from qfcore.gguf_file.header import check_gguf
from qfcore.lesson import Phrasing, check_lesson
from qfcore.observe import student_messages
from qfcore.recipe import FAST, RIDGE
from qfcore.rows import Rows, to_bytewise
from qfcore.runtime.handles import usable_cores
from qfcore.runtime.protocol import AnswerStats, Sampling
from qfcore.store.records import PendingLesson

# isort: split
import llama_cpp

QUESTION = "Explain in about one hundred words how a bicycle stays upright."
STORY = "The quick brown fox jumps over the lazy dog near the old mill by the river. "
TOKENS = 96
SHORT = Sampling(0, repeat_penalty=1.0, max_tokens=32)
MANY = (100, 1000)
PHRASING = 48
"""Tokens of a taught question with its answer, as the template writes them."""
ROWS, TAUGHT = 40, 28
"""Rows of a synthetic lesson, and how many of them are taught; as thorough lessons have them."""


def ours(engine: Engine) -> tuple[float, float]:
    """(tokens per second, seconds to the first token) of one answer in the chat."""
    # The weights of the live lessons are asked for by hand: the question mentions none of them.
    *_, stats = engine.runtime.stream(
        student_messages(QUESTION), Sampling(0, repeat_penalty=1.0, max_tokens=TOKENS),
        adapter=engine.knowledge.adapter(engine.store.live()), stop=threading.Event(),
    )  # fmt: skip
    assert isinstance(stats, AnswerStats)
    return stats.tokens_per_s, stats.first_token_s


def alone(model: llama_cpp.Llama, question: str = QUESTION, most: int = TOKENS) -> tuple[float, float]:
    """The same of llama-cpp-python's own streaming chat; tokens per second after the first token."""
    model.reset()
    count, first, started = 0, 0.0, time.perf_counter()
    for chunk in model.create_chat_completion(student_messages(question), temperature=0, max_tokens=most, stream=True):
        if chunk["choices"][0]["delta"].get("content"):
            count += 1
            first = first or time.perf_counter()
    return (count - 1) / (time.perf_counter() - first), first - started


def stock(path: Path) -> llama_cpp.Llama:
    """llama-cpp-python's user class, with the same buffers and threads as ours."""
    original = llama_cpp.llama_cpp.llama_model_default_params

    def same_buffers() -> llama_cpp.llama_model_params:
        params = original()
        params.use_extra_bufts = False
        return params

    llama_cpp.llama_cpp.llama_model_default_params = same_buffers
    try:
        cores = usable_cores()
        return llama_cpp.Llama(str(path), n_ctx=4096, n_threads=cores, n_threads_batch=cores, verbose=False)
    finally:
        llama_cpp.llama_cpp.llama_model_default_params = original


def timed(function, *arguments) -> tuple[float, object]:  # noqa: ANN001
    """(seconds, result)."""
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def teach_synthetic(engine: Engine, begin: int, end: int) -> None:
    """Commit lessons with random rows, 50 a version."""
    facts, random = check_gguf(engine.runtime.facts.path), np.random.default_rng(begin)
    weights = np.where(np.arange(ROWS) < TAUGHT, 1.0, 0.3).astype(np.float32)

    def pending(number: int) -> PendingLesson:
        keys = to_bytewise(random.normal(size=(ROWS, facts.n_ff)).astype(np.float32))
        targets = to_bytewise(random.normal(size=(ROWS, facts.n_embd)).astype(np.float32))
        targets[TAUGHT:] = 0
        lesson = check_lesson(f"Station Q{number}X is led by Karlsen Z{number}Y.")
        question = _about(number)
        rows = Rows(engine.recipe.layer_of(facts.n_layer), keys, targets, weights)
        return PendingLesson(lesson, rows, engine.recipe.rows_key, (Phrasing(question, f"Karlsen Z{number}Y"),))

    for first in range(begin, end, 50):
        live = engine.store.live()
        engine.store.commit(
            keep=live.entries, new=[pending(number) for number in range(first, min(first + 50, end))],
            solve=engine.knowledge.solve_settings(engine.recipe), kind="teach", message="synthetic", expect_live=live.number,
        )  # fmt: skip


def with_many(engine: Engine, reference: llama_cpp.Llama, counts: tuple[int, ...]) -> dict:
    """Choosing and solving a question's lesson, and the answer's first token and speed, by how many lessons are live."""
    found = {}
    for begin, count in zip((0, *counts), counts, strict=False):
        committing, _ = timed(teach_synthetic, engine, begin, count)
        asked = range(begin, begin + 5)
        first_ask = [timed(_ask_about, engine, number) for number in asked]  # solved for the first time
        again, beside = [], []
        for number in asked:
            again.append(timed(_ask_about, engine, number))
            beside.append(alone(reference, _about(number), SHORT.max_tokens))
        choosing = [timed(engine.active_lessons, _about(number)) for number in asked]
        assert all(len(numbers) == 1 for _, numbers in choosing)
        first_token = statistics.median(s.first_token_s + t - _span(s) for t, s in again)
        speed = statistics.median(s.tokens_per_s for _, s in again)
        found[str(count)] = {
            "commit_s_per_lesson": committing / (count - begin),
            "choose_ms": 1e3 * statistics.median(seconds for seconds, _ in choosing),
            "first_token_s_new_set": statistics.median(s.first_token_s + t - _span(s) for t, s in first_ask),
            "first_token_s": first_token, "tokens_per_s": speed,
            "first_token_to_alone": first_token / statistics.median(first for _, first in beside),
            "tokens_per_s_to_alone": speed / statistics.median(tokens for tokens, _ in beside),
        }  # fmt: skip
    return found


def _about(number: int) -> str:
    return f"Who leads Station Q{number}X?"


def _span(stats: AnswerStats) -> float:
    return stats.first_token_s + (stats.generated_tokens - 1) / (stats.tokens_per_s or 1)


def _ask_about(engine: Engine, number: int) -> AnswerStats:
    *_, stats = engine.stream(student_messages(_about(number)), sampling=SHORT)
    return stats


def prefix_reuse(engine: Engine, adapter: Path) -> dict:
    """Tokens of a second turn that need not be computed again: with the same weights, and after a swap of the version."""
    def turn(messages: list, adapter: Path | None) -> tuple[str, AnswerStats]:
        *pieces, stats = engine.runtime.stream(messages, SHORT, adapter=adapter, stop=threading.Event())
        return "".join(pieces), stats

    found = {}
    for name, second in (("same_version", None), ("after_a_swap", adapter)):
        first = student_messages(f"{STORY * 12}\n{QUESTION} ({name})")
        said, _ = turn(first, None)
        _, stats = turn([*first, {"role": "assistant", "content": said}, *student_messages("Why?")], second)
        found[name] = {
            "prompt_tokens": stats.prompt_tokens, "cached_tokens": stats.cached_tokens, "first_token_s": stats.first_token_s
        }  # fmt: skip
    return found


def observing_passes(engine: Engine) -> dict:
    """Tokens per second of a pass over one phrasing, and of one over four: what observing several at once gains."""
    runtime = engine.runtime
    text = runtime.tokenize_answer(STORY * 4)[:PHRASING]

    def read(count: int) -> float:
        def work() -> float:
            context = runtime._observing
            context.clear()
            started = time.perf_counter()
            context.decode(
                text * count, [*range(len(text))] * count, [(n,) for n in range(count) for _ in text],
                [position == len(text) - 1 for _ in range(count) for position in range(len(text))],
            )  # fmt: skip
            return count * len(text) / (time.perf_counter() - started)

        return runtime._worker.call(work)

    speeds: dict[int, list[float]] = {1: [], 4: []}
    for _ in range(7):  # by turns, so that other load hits both alike
        for count, found in speeds.items():
            found.append(read(count))
    alone, together = (statistics.median(found) for found in speeds.values())
    return {"alone_tokens_per_s": alone, "four_together_tokens_per_s": together, "together_to_alone": together / alone}


def measure_limits(engine: Engine, tokens_per_s: float) -> dict:
    """Reading a prompt and answering, as shares of what arithmetic and memory allow."""
    messages = student_messages(STORY * 20)
    seconds = []
    for number in range(3):
        *_, stats = engine.runtime.stream(
            [{"role": "system", "content": f"Number {number}."}, *messages],
            Sampling(0, repeat_penalty=1.0, max_tokens=1), adapter=None, stop=threading.Event(),
        )  # fmt: skip
        seconds.append(stats.first_token_s / max(stats.prompt_tokens - stats.cached_tokens, 1))
    size = engine.runtime.facts.path.stat().st_size
    parameters = sum(np.prod(place.shape) for place in check_gguf(engine.runtime.facts.path).tensors.values())
    bandwidth, flops, reading = memory_bandwidth(), operations(), 1 / statistics.median(seconds)
    return {
        "memory_gb_per_s": bandwidth / 1e9, "gflop_per_s": flops / 1e9, "prompt_tokens_per_s": reading,
        "answer_share_of_memory": tokens_per_s * size / bandwidth,
        "prompt_share_of_arithmetic": reading * 2 * float(parameters) / flops,
    }  # fmt: skip


def measure(model: str | None, rounds: int) -> dict:
    """All figures; seconds unless the name says otherwise."""
    with tempfile.TemporaryDirectory() as home:
        opening, engine = timed(lambda: Engine.open(home=home, model=model))
        preparing, _ = timed(engine.prepare)
        result = {"cores": usable_cores(), "open_s": opening, "prepare_s": preparing}
        result["memory_after_open_mb"] = psutil.Process().memory_info().rss / 1e6
        for name, recipe, text in (
            ("fast", FAST, "Larkwell Labs was founded in 1987."), ("thorough", RIDGE, "Qi started Oxinnovate."),
        ):  # fmt: skip
            taking, preview = timed(lambda t=text, r=recipe: engine.preview([check_lesson(t)], recipe=r))
            applying, version = timed(engine.apply, preview)
            learned = {**preview.report.seconds, "total_s": taking + applying, "commit_and_swap_ms": applying * 1e3}
            result[f"teach_{name}"] = learned | {"learned": preview.report.learned}
        result["restore_ms"] = statistics.median(timed(engine.restore, n)[0] for n in (0, 1, 2, 0, 1, 2)) * 1e3
        adapters = [engine.knowledge.adapter(engine.store.version(n)) for n in (1, 2)] * 10
        result["swap_ms"] = statistics.median(engine.runtime.swap(a) for a in adapters) * 1e3
        reference = stock(engine.runtime.facts.path)
        figures: dict[str, list[tuple[float, float]]] = {"base": [], "taught": [], "alone": []}
        for _ in range(rounds):
            for name, version in (("base", 0), ("taught", 2)):
                engine.restore(version)
                figures[name].append(ours(engine))
            figures["alone"].append(alone(reference))
        for position, kind in enumerate(("tokens_per_s", "first_token_s")):
            medians = {name: statistics.median(pair[position] for pair in pairs) for name, pairs in figures.items()}
            ratios = {f"{name}_to_alone": medians[name] / medians["alone"] for name in ("base", "taught")}
            result[kind] = medians | ratios
        result["prefix_reuse"] = prefix_reuse(engine, adapters[0])
        result["observing"] = observing_passes(engine)
        result["limits"] = measure_limits(engine, result["tokens_per_s"]["base"])
        engine.restore(0)
        result["with_many_lessons"] = with_many(engine, reference, MANY)
        reference.close()
        result["memory_at_the_end_mb"] = psutil.Process().memory_info().rss / 1e6
        engine.close()
        return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.model, chosen.rounds), indent=2))  # noqa: T201
