"""Whether a message asks for what a question asks for: probes of the residuals of compared pairs."""

import json
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from qfcore import probing
from qfcore.match import Match, Matches, Pair, Probes, fit_probes, known_probes, measure_probes, probes_file, read_pairs
from qfcore.probing import balanced_ridge

WIDTH = 12
KINDS = ((True, True), (True, False), (False, False), (None, False))


def _made(rng: np.random.Generator, count: int) -> tuple[np.ndarray, list[Pair]]:
    """Residuals whose first two numbers say what holds, among louder ones."""
    pairs = [Pair(f"q{n}", f"m{n}", KINDS[n % 4]) for n in range(count)]
    residuals = 2.0 * rng.normal(size=(count, WIDTH))
    for row, pair in zip(residuals, pairs, strict=True):
        row[0], row[1] = 0.0 if pair.holds[0] is None else 3.0 * (2 * pair.holds[0] - 1), 3.0 * (2 * pair.holds[1] - 1)
    return residuals, pairs


def test_the_probes_tell_pairs_apart_that_they_have_not_seen() -> None:
    rng = np.random.default_rng(0)
    probes = fit_probes(*_made(rng, 200), layer=3)
    for residual, pair in zip(*_made(rng, 40), strict=True):
        found = probes.match(residual)
        assert (found.both > 0) == pair.holds[1]
        assert pair.holds[0] is None or (found.subject > 0) == pair.holds[0]


def test_a_side_of_few_weighs_as_much_as_one_of_many() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(4, 3)) + [2.0, 0, 0], rng.normal(size=(400, 3)) - [2.0, 0, 0]
    weights, mean = balanced_ridge(one, other, 1.0)
    assert ((one - mean) @ weights).mean() > 0.3 and ((other - mean) @ weights).mean() < -0.3


def test_probes_come_back_from_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "assets_folder", lambda: tmp_path)
    known_probes.cache_clear()
    rng = np.random.default_rng(2)
    made, path = fit_probes(*_made(rng, 80), layer=5), probes_file("ab" * 32)
    path.parent.mkdir()
    path.write_bytes(made.to_bytes())
    found, residual = known_probes("ab" * 32), rng.normal(size=WIDTH)
    assert found.layer == 5 and found.match(residual).both == pytest.approx(made.match(residual).both, abs=1e-4)
    assert known_probes("cd" * 32) is None
    known_probes.cache_clear()


def test_the_projects_pairs_are_whole() -> None:
    pairs = read_pairs()
    assert len(pairs) > 1000 and {pair.holds for pair in pairs} == set(KINDS)
    items = [json.loads(line) for line in Path("assets/matches.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(len(item["follow"]) == 2 and all(len(said) == 3 for said in item["follow"]) for item in items)


def _runtime(rng: np.random.Generator) -> tuple[MagicMock, dict]:
    states: dict = {}

    def observe(scripts: list, *, layer: int) -> list:
        (script,) = scripts
        row = states.setdefault(script.messages[0][1], rng.normal(size=WIDTH))
        return [SimpleNamespace(residuals=np.stack([np.zeros(WIDTH), row]))]

    runtime = MagicMock(facts=SimpleNamespace(n_layer=28))
    runtime.tokenize_answer.return_value = [7, 8]
    runtime.observe.side_effect = observe
    return runtime, states


def test_a_pair_is_compared_once_with_what_came_before_and_of_a_long_message_both_ends() -> None:
    rng = np.random.default_rng(3)
    runtime, states = _runtime(rng)
    probes = Probes(3, rng.normal(size=(2, WIDTH)), np.zeros((2, WIDTH)))
    matches = Matches(runtime, probes)
    first = matches.of("When?", "since when")
    assert matches.of("When?", "since when") is first and runtime.observe.call_count == 1
    assert first == probes.match(states[next(iter(states))]) and isinstance(first, Match)
    matches.of("When?", "begin " + "x" * 5000 + " end")
    assert len(list(states)[-1]) < 900 and "begin" in list(states)[-1] and " end" in list(states)[-1]
    before = [{"role": "system", "content": "s"}, *({"role": "user", "content": text} for text in "abcd")]
    matches.of("When?", "and?", before)
    assert "Question B: c\nd\nand?\n" in list(states)[-1] and "s\n" not in list(states)[-1].partition("?")[2][:20]


def test_a_model_is_measured_by_comparing_every_pair() -> None:
    runtime, states = _runtime(np.random.default_rng(4))
    _, pairs = _made(np.random.default_rng(5), 24)
    told = []
    probes = measure_probes(runtime, pairs, lambda share, text: told.append((share, text)))
    assert probes.layer == 18 and len(states) == 24
    assert told[-1] == (1.0, "Comparing questions: 24 of 24")
