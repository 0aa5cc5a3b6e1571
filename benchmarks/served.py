"""Whether an export says elsewhere what it was taught: a suite asked of any server that speaks OpenAI's interface.

    python -m benchmarks.served URL BASE MODEL [MODEL …] [--suite SUITE.jsonl] [--limit 16] [--out FILE.json]

BASE and MODEL are the names under which the server (vLLM, Ollama, llama.cpp's server) offers the untaught and the taught
models. Greedy answers of the suites' length, scored as `qfchat eval` does; neighbours are compared with BASE's.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.export_types import SUITE
from qfcore.measure.scores import asked_questions, counted, locality_of, scores_of
from qfcore.measure.suite import TOKENS, read_suite
from qfcore.observe import student_messages

_TOGETHER = 8


def answers(client: httpx.Client, model: str, questions: Sequence[str]) -> list[str]:
    """Greedy answers of one of the server's models."""

    def ask(question: str) -> str:
        asked = {"model": model, "messages": student_messages(question), "temperature": 0, "max_tokens": TOKENS}
        told = client.post("chat/completions", json=asked)
        told.raise_for_status()
        return told.json()["choices"][0]["message"]["content"] or ""

    with ThreadPoolExecutor(_TOGETHER) as pool:
        return list(pool.map(ask, questions))


def main() -> None:
    """Parse, ask, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="up to /v1")
    parser.add_argument("base")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--suite", type=Path, default=SUITE)
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    items = read_suite(options.suite, options.limit)
    questions = [question for item in items for question in asked_questions(item)]
    values = []
    print("| model | recall | unseen paraphrases | consequences | neighbours identical |\n|---|---|---|---|---|")
    with httpx.Client(base_url=f"{options.url.rstrip('/')}/", timeout=600) as client:
        base = answers(client, options.base, questions)
        for name in (options.base, *options.models):
            said = base if name == options.base else answers(client, name, questions)
            scores = {**scores_of(items, said), **locality_of(items, base, said)}
            cells = [counted(scores[k]) for k in ("recall", "generalisation", "portability", "identical")]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
            values.append({"model": name, **scores, "answers": said})
    if options.out:
        options.out.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
