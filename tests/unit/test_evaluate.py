"""Questions are asked with the weights that their words call for, and the base only where it is needed."""

from collections.abc import Sequence
from pathlib import Path

from qfcore.evaluate import ask_each, ask_routed

ONE, TWO = Path("one"), Path("two")
ROUTES = {"a?": ONE, "b?": None, "c?": TWO, "d?": ONE}


class _Runtime:
    """Answers with the adapter and the question."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def complete_many(self, conversations: Sequence, *, adapter: Path | None, **_how: object) -> list[str]:
        questions = [conversation[-1]["content"] for conversation in conversations]
        self.asked.append((str(adapter), *questions))
        return [f"{adapter}: {question}" for question in questions]

    def complete_each(self, conversations: Sequence, adapters: Sequence[Path | None], **_how: object) -> list[str]:
        questions = [conversation[-1]["content"] for conversation in conversations]
        self.asked.append(tuple(questions))
        return [f"{adapter}: {question}" for adapter, question in zip(adapters, questions, strict=True)]

    def detokenize(self, tokens: str) -> str:
        return tokens


def test_each_set_of_weights_is_asked_once_and_the_base_only_without_a_lesson() -> None:
    runtime = _Runtime()
    assert ask_routed(runtime, list(ROUTES), ROUTES.get) == ["one: a?", "None: b?", "two: c?", "one: d?"]
    assert runtime.asked == [("None", "b?"), ("one", "a?", "d?"), ("two", "c?")]


def test_what_the_base_said_is_not_asked_again() -> None:
    runtime = _Runtime()
    said = ask_routed(runtime, list(ROUTES), ROUTES.get, ["A", "B", "C", "D"])
    assert said == ["one: a?", "B", "two: c?", "one: d?"] and len(runtime.asked) == 2
    assert ask_routed(runtime, [], ROUTES.get) == []


def test_many_are_asked_together_each_with_its_weights_and_without_what_the_base_said() -> None:
    runtime = _Runtime()
    assert ask_each(runtime, list(ROUTES), ROUTES.get) == ["one: a?", "None: b?", "two: c?", "one: d?"]
    assert ask_each(runtime, list(ROUTES), ROUTES.get, ["A", "B", "C", "D"]) == ["one: a?", "B", "two: c?", "one: d?"]
    assert runtime.asked == [("a?", "b?", "c?", "d?"), ("a?", "c?", "d?")] and ask_each(runtime, [], ROUTES.get) == []
