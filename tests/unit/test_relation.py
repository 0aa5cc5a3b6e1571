"""What a message asks for: discriminants of sorted messages."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from qfcore import probing
from qfcore.relation import Asked, Metric, Relations, fit_metric, known_metric, metric_file, read_groups

WIDTH = 24


def _groups(rng: np.random.Generator, count: int, each: int) -> list[np.ndarray]:
    """Residuals whose loud part is the wording and whose quiet part is what is asked for."""
    asked = rng.normal(size=(count, 4))
    groups = []
    for meaning in asked:
        wording = 1.5 * rng.normal(size=(each, WIDTH - 4))
        groups.append(np.hstack([wording, meaning + 0.1 * rng.normal(size=(each, 4))]))
    return groups


def _fitted(rng: np.random.Generator, count: int) -> Metric:
    return fit_metric(_groups(rng, count, 6), layer=3)


def test_unseen_wordings_are_near_along_the_discriminants_and_not_as_they_are() -> None:
    rng = np.random.default_rng(0)
    metric = _fitted(rng, 80)
    unseen = _groups(rng, 20, 4)

    def area(vectors: list[np.ndarray]) -> float:
        """How often two wordings of one group are nearer than two of different groups."""
        within = np.concatenate([(v @ v.T)[np.triu_indices(len(v), 1)] for v in vectors])
        between = np.concatenate([(v @ w.T).ravel() for n, v in enumerate(vectors) for w in vectors[:n]])
        return float((within[:, None] > between[None]).mean())

    plain = [group / np.linalg.norm(group, axis=1, keepdims=True) for group in unseen]
    assert area([np.array([metric.asked(x).vector for x in group]) for group in unseen]) > 0.8 > 0.7 > area(plain)


def test_a_metric_comes_back_from_its_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN001
    monkeypatch.setattr(probing, "assets_folder", lambda: tmp_path)
    known_metric.cache_clear()
    rng = np.random.default_rng(1)
    made = _fitted(rng, 40)
    path = metric_file("ab" * 32)
    path.parent.mkdir()
    path.write_bytes(made.to_bytes())
    found, residual = known_metric("ab" * 32), rng.normal(size=WIDTH)
    assert found.layer == 3 and found.name == known_metric("ab" * 32).name
    assert found.asked(residual).like(made.asked(residual)) > 0.999
    assert known_metric("cd" * 32) is None
    known_metric.cache_clear()


def test_what_is_asked_is_kept_as_text_and_anything_else_is_none() -> None:
    asked = Asked(np.array([0.6, -0.8]))
    assert Asked.from_text(asked.to_text()).like(asked) == pytest.approx(1.0, abs=1e-3)
    for text in ("", "?", "AAAA", 7, None, Asked(np.array([np.nan, 1.0])).to_text()):
        assert Asked.from_text(text) is None


def test_the_messages_are_sorted_by_hand_and_none_is_twice_in_a_group() -> None:
    groups = read_groups()
    assert len(groups) > 600 and all(len(group) == len(set(group)) >= 6 for group in groups)


def test_the_model_reads_a_message_once_and_of_a_long_one_both_ends() -> None:
    runtime = MagicMock()
    runtime.tokenize_answer.return_value = [7, 8, 9]
    rng, states = np.random.default_rng(2), {}

    def observe(scripts, *, layer):  # noqa: ANN001, ANN202
        (script,) = scripts
        row = states.setdefault(script.messages, rng.normal(size=WIDTH))
        return [SimpleNamespace(residuals=np.stack([np.zeros(WIDTH), np.zeros(WIDTH), row]))]

    runtime.observe.side_effect = observe
    relations = Relations(runtime, _fitted(rng, 40))
    first = relations.of("one")
    assert relations.of("one") is first and relations.known("one") is first and runtime.observe.call_count == 1
    assert relations.known("two") is None
    relations.remember("two", first.to_text())
    assert relations.of("two").like(first) > 0.999 and runtime.observe.call_count == 1
    relations.remember("three", "nonsense")
    assert relations.known("three") is None
    relations.of("begin " + "x" * 5000 + " end")
    text = max((said[-1][1] for said in states), key=len)
    assert len(text) < 700 and text.startswith("begin") and text.endswith("end")
