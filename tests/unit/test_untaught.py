"""What the untaught model answered is remembered, and never taken for another model's or question's answer."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from qfcore.untaught import Taught, Untaught

A, B = ([{"role": "user", "content": text}] for text in "AB")
LIKE = [A, A, A]


class Counting:
    """A runtime that answers a question with the question and the longest answer allowed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.facts = SimpleNamespace(placement="")

    def complete_each(
        self, conversations: Sequence, adapters: Sequence[Path | None], *, max_tokens: int, **_how: object
    ) -> list[str]:
        """The question, and how long its answer may be."""
        self.asked += (said := [conversation[-1]["content"] for conversation in conversations])
        return [f"{text}{max_tokens} {path or ''}".strip() for text, path in zip(said, adapters, strict=True)]

    def detokenize(self, tokens: str) -> str:
        """The answer."""
        return tokens


@pytest.fixture
def runtime() -> Counting:
    """A runtime that was asked nothing yet."""
    return Counting()


def test_what_was_asked_is_not_asked_again(runtime: Counting, tmp_path: Path) -> None:
    assert Untaught(runtime, tmp_path, "f" * 64).answers([A, B, A], max_tokens=8, like=LIKE)[0] == ["A8", "B8", "A8"]
    again = Untaught(runtime, tmp_path, "f" * 64)
    assert again.answers([B, A], max_tokens=8, like=LIKE)[0] == ["B8", "A8"] and (again.asked, again.remembered) == (0, 2)
    assert runtime.asked == ["A", "B"]


def test_taught_weights_are_asked_along_and_not_remembered(runtime: Counting, tmp_path: Path) -> None:
    untaught, taught = Untaught(runtime, tmp_path, "f" * 64), [Taught(B, A, Path("one"))]
    for _ in range(2):
        assert untaught.answers([A], max_tokens=8, like=LIKE, taught=taught) == (["A8"], ["B8 one"])
    assert runtime.asked == ["A", "B", "B"] and untaught.asked == 1


def test_another_device_or_type_is_asked_itself(runtime: Counting, tmp_path: Path) -> None:
    for placement in ("", "cpu float32", "cuda:0 float32", "cuda:0 bfloat16"):
        runtime.facts = SimpleNamespace(placement=placement)
        Untaught(runtime, tmp_path, "f" * 64).answers([A], max_tokens=8, like=LIKE)
    assert runtime.asked == ["A"] * 4
    Untaught(runtime, tmp_path, "f" * 64).answers([A], max_tokens=8, like=LIKE)
    assert runtime.asked == ["A"] * 4


def test_another_length_or_model_is_another_question(runtime: Counting, tmp_path: Path) -> None:
    first = Untaught(runtime, tmp_path, "f" * 64)
    assert first.answers([A], max_tokens=8, like=LIKE)[0] + first.answers([A], max_tokens=9, like=LIKE)[0] == ["A8", "A9"]
    Untaught(runtime, tmp_path, "e" * 64).answers([A], max_tokens=8, like=LIKE)
    Untaught(runtime, tmp_path, "f" * 64, fresh=True).answers([A], max_tokens=8, like=LIKE)
    assert runtime.asked == ["A"] * 4


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": 1}', b"\xff"])
def test_a_damaged_file_costs_only_the_time_to_ask_again(runtime: Counting, tmp_path: Path, content: bytes) -> None:
    Untaught(runtime, tmp_path, "f" * 64).answers([A], max_tokens=8, like=LIKE)
    next(tmp_path.iterdir()).write_bytes(content)
    assert Untaught(runtime, tmp_path, "f" * 64).answers([A], max_tokens=8, like=LIKE)[0] == ["A8"]
    assert runtime.asked == ["A", "A"]


def test_a_folder_that_cannot_be_written_is_no_failure(runtime: Counting, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    assert Untaught(runtime, tmp_path / "taken", "f" * 64).answers([A], max_tokens=8, like=LIKE)[0] == ["A8"]
