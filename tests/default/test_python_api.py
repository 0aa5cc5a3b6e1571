"""The example in `qfcore`'s own words, run as it stands."""

import doctest
from pathlib import Path

import pytest

import qfcore

pytestmark = pytest.mark.default


def test_the_example_is_true(default_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(qfcore)
    assert not failed and tried >= 10
