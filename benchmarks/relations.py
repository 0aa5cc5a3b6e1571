"""What a model's metric (qfcore/relation.py) and its probes (qfcore/match.py) tell apart, and how they are made.

    python -m benchmarks.relations [--model NAME_OR_PATH] [--write] [SUITE.jsonl ...]

The model reads assets/relations.jsonl and compares the pairs of assets/matches.jsonl (half an hour on two cores for the
default one), and both are solved from that; --write keeps them in assets/relations and assets/matches, else those that are
there are measured. Then the suites, whose lessons they have not seen: a lesson's own question against unseen ways of asking
for it, other questions about its subject, and its question about other subjects. Printed are the areas under the curve, and
at the thresholds that are used how many of each are taken for the lesson's question.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from qfcore.choosing import sureness
from qfcore.engine import Engine
from qfcore.match import Match, Matches, known_probes, measure_probes, probes_file, read_pairs
from qfcore.relation import Relations, known_metric, measure_metric, metric_file, read_groups
from qfcore.settings import Paths

SUITES = Path(__file__).parents[1] / "assets" / "suites"


def area(same: Sequence[float], other: Sequence[float]) -> float:
    """The share of pairs of which the first is the larger (the area under the ROC curve)."""
    one, two = np.array(same)[:, None], np.array(other)[None]
    return float((one > two).mean() + 0.5 * (one == two).mean())


def rates(relations: Relations, matches: Matches, items: Sequence[dict]) -> dict:
    """How a suite's questions are told from others: by the vectors alone, and by comparing the pairs."""
    found: dict[str, list[tuple[float, Match]]] = {kind: [] for kind in ("paraphrases", "same_subject", "neighbours")}
    for item in items:
        wanted = relations.of(item["question"])
        for kind, pairs in found.items():
            texts = item.get(kind, ())
            pairs += [(relations.of(text).like(wanted), matches.of(item["question"], text)) for text in texts]

    def both(kind: str) -> list[float]:
        return [like + match.both for like, match in found[kind]]

    def sure(kind: str) -> str:
        return f"{sum(sureness(match, like) > 0 for like, match in found[kind])}/{len(found[kind])}"

    likes = {kind: [like for like, _ in pairs] for kind, pairs in found.items()}
    return {
        "vectors, something else": round(area(likes["paraphrases"], likes["same_subject"]), 3),
        "pairs, something else": round(area(both("paraphrases"), both("same_subject")), 3),
        "pairs, another subject": round(
            area([m.subject for _, m in found["paraphrases"]], [m.subject for _, m in found["neighbours"]]), 3
        ),
        "taken for the question": {kind: sure(kind) for kind in found},
    }  # fmt: skip


def tell(_: float, text: str) -> None:
    """Progress, on one line."""
    print(f"\r{text}", end="", flush=True)


def main() -> int:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", type=Path, default=[SUITES / "invented.jsonl", SUITES / "languages.jsonl"])
    parser.add_argument("--model", help="name of the catalogue or path; the default model else")
    parser.add_argument("--write", action="store_true", help="read the messages and keep the metric in assets/relations")
    parser.add_argument("--limit", type=int, help="lessons of each suite")
    args = parser.parse_args()
    os.environ.setdefault("QFCHAT_MODELS", str(Paths.find().models))  # a home of its own, the models of all
    with tempfile.TemporaryDirectory() as home, closing(Engine.open(home=home, model=args.model)) as engine:
        sha256 = engine.store.model.sha256
        if args.write:
            for path, made in (
                (metric_file(sha256), measure_metric(engine.runtime, read_groups(), tell)),
                (probes_file(sha256), measure_probes(engine.runtime, read_pairs(), tell)),
            ):
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(made.to_bytes())
                print(f"\nWrote {path}")
            known_metric.cache_clear()
            known_probes.cache_clear()
        metric, probes = known_metric(sha256), known_probes(sha256)
        if metric is None or probes is None:
            sys.exit("There is no metric or no probes for this model in assets. Run with --write to make them.")
        relations, matches = Relations(engine.runtime, metric), Matches(engine.runtime, probes)
        for path in args.suites:
            items = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][: args.limit]
            print(path.name, json.dumps(rates(relations, matches, items)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
