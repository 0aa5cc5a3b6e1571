"""What a merged GGUF keeps of the lessons when the edited tensor has another type, and what writing it costs.

    python -m benchmarks.export_types [SUITE.jsonl] [--limit 16] [--method thorough] [--model NAME_OR_PATH] [--out FILE.json]

All lessons are taught, the model is exported once with each type, opened anew as a model of its own, and asked: the taught
questions (recall) and the paraphrases that were never taught. Beside them: the untaught base, and the same change as an
adapter in float32, which is what no type can be better than. Seconds are against a plain copy of the base file, both flushed
to the disk, one after the other.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from qfcore.engine import Engine
from qfcore.evaluate import ask_all
from qfcore.measure.scores import counted, scores_of
from qfcore.measure.suite import TOKENS, lesson_of, read_suite
from qfcore.recipe import recipe_named
from qfcore.runtime.llama import LlamaRuntime
from qfcore.runtime.protocol import Runtime
from qfcore.settings import Paths

SUITE = Path(__file__).parents[1] / "assets" / "suites" / "invented.jsonl"
TYPES = ("keep", "Q4_K", "Q6_K", "Q8_0", "F16")
_BLOCK = 8 << 20


def teach(engine: Engine, items: Sequence[dict], method: str) -> int:
    """Teach all items together; the version that knows them."""
    engine.recipe = recipe_named(method)
    engine.prepare()
    learned = engine.teacher.learn([lesson_of(item) for item in items], engine.recipe)
    return engine.store.commit(
        keep=learned.keep, new=learned.pending, solve=learned.solve, kind="teach", message=method, expect_live=0
    ).number


def ask(runtime: Runtime, items: Sequence[dict], adapter: Path | None = None) -> dict:
    """Recall and unseen paraphrases, as {"recall": "n/m", "paraphrases": "n/m"}."""
    asked = [{key: item[key] for key in ("question", "paraphrases", "accept") if key in item} for item in items]
    questions = [question for item in asked for question in (item["question"], *item.get("paraphrases", ()))]
    scores = scores_of(asked, ask_all(runtime, questions, adapter, max_tokens=TOKENS))
    told = {"recall": scores["recall"], "paraphrases": scores["generalisation"]}
    return {name: counted(rate) for name, rate in told.items()}


def copied(source: Path, target: Path) -> float:
    """Seconds that a plain copy takes, flushed to the disk."""
    started = time.perf_counter()
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, _BLOCK)
        written.flush()
        os.fsync(written.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def measure(engine: Engine, items: Sequence[dict], version: int, kind: str, folder: Path) -> dict:
    """Export with one type, open the file and ask it."""
    base, out = engine.runtime.facts.path, folder / f"{kind}.gguf"
    copy = copied(base, folder / "copy.gguf")
    started = time.perf_counter()
    result = engine.exports.gguf(out, version, tensor_type=kind)
    seconds = time.perf_counter() - started
    runtime = LlamaRuntime(out)
    try:
        scores = ask(runtime, items)
    finally:
        runtime.close()
        out.unlink()
    return {
        "name": kind, "type": result["type"], **scores, "bytes": result["bytes"],
        "more_bytes": result["bytes"] - base.stat().st_size, "seconds": round(seconds, 2),
        "copy_seconds": round(copy, 2), "ratio": round(seconds / copy, 2),
    }  # fmt: skip


def table(values: Sequence[dict]) -> str:
    """The result as Markdown."""
    lines = ["| edited tensor | recall | unseen paraphrases | MB | s | plain copy, s | ratio |", f"|{'---|' * 7}"]
    for v in values:
        name = v["name"] if v.get("type") in (None, v["name"]) else f"{v['name']} ({v['type']})"
        file = "– | – | – | –"
        if v["bytes"]:
            file = f"{v['bytes'] / 1e6:,.1f} | {v['seconds']:.1f} | {v['copy_seconds']:.1f} | {v['ratio']:.2f}"
        lines.append(f"| {name} | {v['recall']} | {v['paraphrases']} | {file} |")
    return "\n".join(lines)


def main() -> None:
    """Parse, teach, export, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path, nargs="?", default=SUITE)
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--method", default="thorough")
    parser.add_argument("--model")
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    items, values = read_suite(given.suite, given.limit), []
    os.environ.setdefault("QFCHAT_MODELS", str(Paths.find().models))  # a home of its own, the models of all
    with tempfile.TemporaryDirectory(prefix="qfchat-export-") as folder:
        engine = Engine.open(home=Path(folder) / "home", model=given.model)
        try:
            version = teach(engine, items, given.method)
            adapter = engine.knowledge.adapter(engine.store.version(version))
            for name, path in (("untaught base", None), ("adapter, float32", adapter)):
                values.append({"name": name, **ask(engine.runtime, items, path), "bytes": 0})
            for kind in filter(None, given.types.split(",")):
                values.append(measure(engine, items, version, kind, Path(folder)))
                print(json.dumps(values[-1]), flush=True)
        finally:
            engine.close()
    if given.out:
        given.out.write_text(json.dumps({"method": given.method, "lessons": len(items), "types": values}, indent=1))
    print(table(values))


if __name__ == "__main__":
    main()
