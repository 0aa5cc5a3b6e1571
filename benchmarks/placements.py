"""The same weights, lessons and questions in llama.cpp and in transformers, on the CPU and on a GPU.

    python -m benchmarks.placements MODEL.gguf [SUITE.jsonl] [--limit 16] [--method thorough] [--text TEXTS.jsonl]
        [--placements llama.cpp,cpu:float32,cuda:bfloat16,cuda:float32] [--out FILE.json]

A checkpoint with the weights of the GGUF file is written once and opened with each placement: the chat's speed, one lesson's
change beside those of the placements before, then the suite by the protocol of `qfchat eval`. All placements of the
checkpoint are solved with one replay, that of the first. A GPU is used where CUDA finds one.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.export_types import SUITE
from benchmarks.speed import QUESTION
from qfcore.delta import Delta
from qfcore.engine import Engine
from qfcore.lesson import check_lesson
from qfcore.measure.scores import counted
from qfcore.measure.suite import measure_suite, read_suite
from qfcore.observe import student_messages
from qfcore.recipe import FAST, recipe_named
from qfcore.runtime.protocol import AnswerStats, Sampling
from qfcore.settings import DEVICE_VARIABLE, DTYPE_VARIABLE, Paths

GGUF = "llama.cpp"
LESSON = check_lesson("The capital of Zemvaria is Port Anselm.", "What is the capital of Zemvaria?", "Port Anselm")
ANSWER = Sampling(0, repeat_penalty=1.0, max_tokens=128)


@contextmanager
def placed(name: str) -> Iterator[None]:
    """Let checkpoints open as `name` says, "DEVICE:TYPE"."""
    if name != GGUF:
        device, dtype = name.rsplit(":", 1)
        os.environ |= {DEVICE_VARIABLE: device, DTYPE_VARIABLE: dtype}
    try:
        yield
    finally:
        os.environ.pop(DEVICE_VARIABLE, None)
        os.environ.pop(DTYPE_VARIABLE, None)


def change(engine: Engine) -> Delta:
    """What one lesson changes; question and answer are given, so nothing depends on what the model writes."""
    (delta,) = engine.teacher.learn([LESSON], FAST).deltas
    return delta


def speed(engine: Engine) -> AnswerStats:
    """Of the second of two answers, which finds everything loaded."""
    for _ in range(2):
        *_, stats = engine.runtime.stream(student_messages(QUESTION), ANSWER, stop=threading.Event())
    return stats


def measure(name: str, model: Path, home: Path, options: argparse.Namespace, changes: dict[str, Delta]) -> dict:
    """One placement's figures; its change for the lesson is added to those of the placements before."""
    with placed(name):
        started = time.perf_counter()
        engine = Engine.open(home=home, model=str(model))
        try:
            opened = time.perf_counter() - started
            engine.prepare()
            prepared = time.perf_counter() - started - opened
            stats, delta = speed(engine), changes.setdefault(name, change(engine))
        finally:
            engine.close()
        suite = measure_suite(
            read_suite(options.suite, options.limit), recipe_named(options.method), home=home, model=str(model),
            texts=read_suite(options.text, 100) if options.text else (), fresh=True,
        )  # fmt: skip
    cosines = {n: theirs.inner(delta) / (theirs.norm * delta.norm) for n, theirs in changes.items() if n != name}
    return {
        "placement": name, "open_seconds": round(opened, 1), "replay_seconds": round(prepared, 1),
        "tokens_per_second": round(stats.tokens_per_s, 1), "first_token_seconds": round(stats.first_token_s, 4),
        "norm_of_change": round(delta.norm, 3),
        "cosines": {n: round(cosine, 5) for n, cosine in cosines.items()}, **suite,
    }  # fmt: skip


def row(value: dict) -> str:
    """One line of the table."""

    def cell(who: str, name: str) -> str:
        return counted(value[who][name])

    cosines = ", ".join(f"{other} {cosine:.4f}" for other, cosine in value["cosines"].items())
    drift = f"{value['drift']['ratio']:.4f}" if "drift" in value else "–"
    return (
        f"| {value['placement']} | {cell('taught', 'recall')} ({cell('ceiling', 'recall')}) "
        f"| {cell('taught', 'generalisation')} ({cell('ceiling', 'generalisation')}) | {cell('taught', 'portability')} "
        f"| {cell('locality', 'identical')} | {drift} | {value['seconds_per_lesson']:.2f} "
        f"| {value['tokens_per_second']:.0f} | {value['first_token_seconds']:.3f} | {cosines or '–'} |"
    )


def main() -> None:
    """Parse, write the checkpoint, measure each placement, print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("suite", type=Path, nargs="?", default=SUITE)
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--method", default="thorough")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--placements", default=f"{GGUF},cpu:float32,cuda:bfloat16,cuda:float32")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    wanted = [name for name in options.placements.split(",") if torch.cuda.is_available() or not name.startswith("cuda")]
    os.environ.setdefault("QFCHAT_MODELS", str(Paths.find().models))  # a home of its own, the models of all
    values: list[dict] = []
    changes: dict[str, Delta] = {}
    with tempfile.TemporaryDirectory(prefix="qfchat-placements-") as folder:
        home, checkpoint = Path(folder) / "home", Path(folder) / options.model.stem
        engine = Engine.open(home=home, model=str(options.model))
        try:
            engine.exports.checkpoint(checkpoint, 0, dtype="float32")
        finally:
            engine.close()
        for name in wanted:
            values.append(measure(name, options.model if name == GGUF else checkpoint, home, options, changes))
            print(row(values[-1]), flush=True)
            if options.out:
                card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
                options.out.write_text(json.dumps({"gpu": card, "placements": values}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
