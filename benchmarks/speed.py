"""Speed and memory of QF Chat beside llama-cpp-python alone, in the same run on the same machine.

    python benchmarks/speed.py [--model NAME_OR_PATH] [--rounds N]

Prints JSON. Rounds alternate between the two, so that other load on the machine hits both alike; ratios are of medians.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

import llama_cpp
import psutil

from qfcore.engine import Engine
from qfcore.lesson import check_lesson
from qfcore.observe import student_messages
from qfcore.recipe import FAST, RIDGE
from qfcore.runtime.handles import usable_cores
from qfcore.runtime.protocol import AnswerStats, Sampling

QUESTION = "Explain in about one hundred words how a bicycle stays upright."
TOKENS = 96


def ours(engine: Engine) -> tuple[float, float]:
    """(tokens per second, seconds to the first token) of one answer in the chat."""
    # The weights of the live lessons are asked for by hand: the question mentions none of them.
    *_, stats = engine.runtime.stream(
        student_messages(QUESTION), Sampling(0, repeat_penalty=1.0, max_tokens=TOKENS),
        adapter=engine.knowledge.adapter(engine.store.live()), stop=threading.Event(),
    )  # fmt: skip
    assert isinstance(stats, AnswerStats)
    return stats.tokens_per_s, stats.first_token_s


def alone(model: llama_cpp.Llama) -> float:
    """Tokens per second of llama-cpp-python's own streaming chat, after the first token."""
    model.reset()
    count, first = 0, 0.0
    for chunk in model.create_chat_completion(student_messages(QUESTION), temperature=0, max_tokens=TOKENS, stream=True):
        if chunk["choices"][0]["delta"].get("content"):
            count += 1
            first = first or time.perf_counter()
    return (count - 1) / (time.perf_counter() - first)


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
        figures: dict[str, list[float]] = {"base": [], "taught": [], "alone": [], "first_token": []}
        for _ in range(rounds):
            for name, version in (("base", 0), ("taught", 2)):
                engine.restore(version)
                speed, first = ours(engine)
                figures[name].append(speed)
                figures["first_token"].append(first)
            figures["alone"].append(alone(reference))
        medians = {name: statistics.median(values) for name, values in figures.items()}
        result["tokens_per_s"] = medians
        result["ratio_base_to_alone"] = medians["base"] / medians["alone"]
        result["ratio_taught_to_alone"] = medians["taught"] / medians["alone"]
        reference.close()
        engine.close()
        return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.model, chosen.rounds), indent=2))  # noqa: T201
