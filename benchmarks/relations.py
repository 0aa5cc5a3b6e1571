"""What a model's metric of relations (qfcore/relation.py) tells apart, and how it is made.

    python -m benchmarks.relations [--model NAME_OR_PATH] [--write] [SUITE.jsonl ...]

The model reads assets/relations.jsonl (a quarter of an hour on two cores for the default one) and the metric is solved from
that; --write keeps it in assets/relations, else the one that is there is measured. Then the suites, whose lessons the
metric has not seen: a lesson's own question against unseen ways of asking for it and against other questions about its
subject. Printed are the area under the curve, and at the threshold that is used how many of both are taken for it.
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

from qfcore.engine import Engine
from qfcore.relation import ASKED, NEARER, OWN, Relations, known_metric, measure_metric, metric_file, read_groups
from qfcore.settings import Paths

SUITES = Path(__file__).parents[1] / "assets" / "suites"


def area(same: Sequence[float], other: Sequence[float]) -> float:
    """The share of pairs of which the first is the larger (the area under the ROC curve)."""
    one, two = np.array(same)[:, None], np.array(other)[None]
    return float((one > two).mean() + 0.5 * (one == two).mean())


def rates(relations: Relations, items: Sequence[dict]) -> dict:
    """How the lessons of a suite are told from other questions about their subjects."""

    def of(name: str) -> list[tuple[float, bool]]:
        pairs = [(relations.of(text), relations.of(item["question"])) for item in items for text in item.get(name, ())]
        return [(a.like(b), a.like(b) >= ASKED and not relations.metric.tells_apart(a, b, NEARER)) for a, b in pairs]

    def taken(found: list[tuple[float, bool]]) -> str:
        return f"{sum(asked for _, asked in found)}/{len(found)}"

    same, other = of("paraphrases"), of("same_subject")
    own = sum(relations.of(item["question"]).own > OWN for item in items)
    apart = round(area([like for like, _ in same], [like for like, _ in other]), 3)
    told = {"area": apart, "paraphrases": taken(same), "other questions": taken(other)}
    return {**told, "about who asks": f"{own}/{len(items)}"}


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
            metric = measure_metric(engine.runtime, read_groups(), lambda _, text: print(f"\r{text}", end="", flush=True))
            metric_file(sha256).parent.mkdir(exist_ok=True)
            metric_file(sha256).write_bytes(metric.to_bytes())
            print(f"\nWrote {metric_file(sha256)}")
        elif (metric := known_metric(sha256)) is None:
            sys.exit("There is no metric for this model in assets/relations. Run with --write to make one.")
        relations = Relations(engine.runtime, metric)
        for path in args.suites:
            items = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][: args.limit]
            print(path.name, json.dumps(rates(relations, items)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
