"""What a message asks for: discriminants of sorted messages, and lessons that are mentioned but not asked for."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from qfcore import relation
from qfcore.lesson import check_lesson
from qfcore.relation import Asked, Group, Metric, Relations, fit_metric, known_metric, metric_file, read_groups
from qfcore.routing import Routing
from qfcore.scope import Scope, scope_of

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
    kinds = [Group((), own=bool(n % 2), follows=n % 8 == 0) for n in range(count)]
    return fit_metric(_groups(rng, count, 6), kinds, layer=3)


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


def test_the_two_scores_tell_their_sides_apart_and_mixed_groups_count_for_neither() -> None:
    rng = np.random.default_rng(3)
    read, groups = _groups(rng, 80, 6), [Group((), (True, False, None, False)[n % 4], follows=n % 8 == 3) for n in range(80)]
    for residuals, group in zip(read, groups, strict=True):
        residuals[:, 0] = {True: 3.0, False: -3.0, None: 50.0}[group.own]
        residuals[:, 1] = 3.0 if group.follows else -3.0
    metric = fit_metric(read, groups, layer=3)
    asked = [(group, metric.asked(x)) for residuals, group in zip(read, groups, strict=True) for x in residuals]
    assert min(a.own for g, a in asked if g.own) > 0.0 > max(a.own for g, a in asked if g.own is False)
    assert min(a.follows for g, a in asked if g.follows) > max(a.follows for g, a in asked if not g.follows)
    assert len(metric.centres) == 70


def test_a_known_group_that_is_nearer_to_a_message_tells_it_from_a_lesson() -> None:
    def asked(x: float, y: float) -> Asked:
        return Asked(np.array([x, y]) / np.hypot(x, y), 1.0)

    none = np.zeros(2)
    metric = Metric(0, none, np.eye(2), none, none, none, none, centres=np.array([[0.0, 1.0]]))
    my_name, my_dogs_name = asked(1.0, 0.0), asked(0.6, 1.0)
    assert metric.tells_apart(my_dogs_name, my_name, 0.15) and not metric.tells_apart(my_dogs_name, my_name, 0.4)
    assert not metric.tells_apart(asked(1.0, 0.1), my_name, 0.15)
    assert not metric.tells_apart(my_dogs_name, asked(0.4, 1.0), 0.15)  # the lesson is of that group itself


def test_a_metric_comes_back_from_its_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN001
    monkeypatch.setattr(relation, "assets_folder", lambda: tmp_path)
    known_metric.cache_clear()
    rng = np.random.default_rng(1)
    made = _fitted(rng, 40)
    path = metric_file("ab" * 32)
    path.parent.mkdir()
    path.write_bytes(made.to_bytes())
    found, residual = known_metric("ab" * 32), rng.normal(size=WIDTH)
    assert found.layer == 3 and found.name == known_metric("ab" * 32).name
    assert found.asked(residual).like(made.asked(residual)) > 0.999
    for score in ("own", "follows"):
        assert getattr(found.asked(residual), score) == pytest.approx(getattr(made.asked(residual), score), abs=1e-3)
    assert known_metric("cd" * 32) is None
    known_metric.cache_clear()


def test_what_is_asked_is_kept_as_text_and_anything_else_is_none() -> None:
    asked = Asked(np.array([0.6, -0.8]), 0.25, -0.5)
    back = Asked.from_text(asked.to_text())
    assert back.like(asked) == pytest.approx(1.0, abs=1e-3) and (back.own, back.follows) == (0.25, -0.5)
    for text in ("", "?", "AAAA", 7, None, Asked(np.array([np.nan, 1.0]), 0.0).to_text()):
        assert Asked.from_text(text) is None


def test_the_messages_are_sorted_by_hand_and_none_is_twice_in_a_group() -> None:
    groups = read_groups()
    assert len(groups) > 600 and all(len(group.ways) == len(set(group.ways)) >= 6 for group in groups)
    assert {group.own for group in groups} == {True, False, None} and any(group.follows for group in groups)


class _Reading:
    """What messages ask for, by the first letters of a topic; with what came before where something did."""

    metric = SimpleNamespace(tells_apart=lambda one, other, by: one.own in (0.7, -0.7))

    def __init__(self, topics: dict[str, tuple[float, ...]], after: dict[str, tuple[float, ...]] | None = None) -> None:
        self.topics, self.after, self.read = topics, after or {}, []

    def of(self, message: str, before: list = ()) -> Asked:  # noqa: D102
        self.read.append(message)
        x, y, own = (self.after if before else self.topics).get(message, (0.0, 0.0, -1.0))
        follows = 1.0 if message.startswith("And") else -1.0
        return Asked(np.array([x, y, max(0.0, 1 - x * x - y * y) ** 0.5]), own, follows)

    def known(self, message: str) -> Asked | None:  # noqa: D102
        return self.of(message) if message in self.read else None


FAIR, BRIDGE, NAME, CAT = "When was the Quenby fair first held?", "How many arches?", "What is my name?", "Name of my cat?"
LESSONS = {FAIR: (1.0, 0.0, -1.0), BRIDGE: (0.0, 0.0, -1.0), NAME: (0.0, 1.0, 1.0), CAT: (0.7, 0.7, 1.0)}


def _routing(reading: _Reading | None, *, personal: bool = False) -> Routing:
    scopes = {
        ("fair", "1"): Scope("quenby", {"quenby": 1.0}, question=FAIR),
        ("order", "2"): Scope("", {}, always=True),
        ("bridge", "3"): Scope("halvery", {"halvery": 1.0}, told={"47": 1.0, "arches": 1.0}, question=BRIDGE),
    }
    if personal:
        name, cat = Scope("", {"name": 1.0}, question=NAME), Scope("cat", {"cat": 1.0}, question=CAT)
        scopes = {("name", "1"): name, ("cat", "2"): cat}
    if reading:
        reading.topics = {**LESSONS, **reading.topics}
    return Routing(MagicMock(), sorted(scopes), scopes, {}, MagicMock(), relations=reading)


def _conversation(*said: str) -> list[dict]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]


def test_a_lesson_is_active_where_its_subject_is_mentioned_and_the_last_message_asks_for_it() -> None:
    reading = _Reading({"Since when is there Quenby?": (0.9, 0.0, -1.0), "And since when?": (0.8, 0.0, -1.0)})
    reading.topics["How far is Quenby?"] = (0.5, 0.0, -0.7)
    reading.topics["Since when is there Rome?"] = (0.9, 0.0, -1.0)  # the same of another, in a sentence of its own
    routing = _routing(reading)
    assert routing.in_scope("What do I wear to Quenby?") == ("order",)
    assert routing.in_scope("Since when is there Quenby?") == ("fair", "order")
    assert routing.of(_conversation("What do I wear to Quenby?", "Wool.", "And since when?")).lesson_ids == ("fair", "order")
    assert routing.of(_conversation("Since when is there Quenby?", "1968.", "And the weather?")).lesson_ids == ("order",)
    assert routing.of(_conversation("I love Quenby.", "I see.", "Since when is there Rome?")).lesson_ids == ("order",)
    assert routing.in_scope("How far is Quenby?") == ("order",)  # something known, nearer to it
    assert routing.in_scope("Which bridge has 47 arches?") == ("bridge", "order")  # turned round: nothing is compared
    assert _routing(None).in_scope("What do I wear to Quenby?") == ("fair", "order")  # a model without a metric


def test_a_lesson_of_which_only_an_open_question_is_known_is_found_by_its_words_alone() -> None:
    lesson = check_lesson("The machine on floor three is named Bertha.")
    scope = scope_of(lesson, ["What do you know about Bertha?"], lambda word: 8.0 * len(word) / 3)
    assert scope.question == ""
    reading = _Reading({})
    routing = Routing(MagicMock(), [("machine", "1")], {("machine", "1"): scope}, {}, MagicMock(), relations=reading)
    assert routing.in_scope("Who is Bertha?") == ("machine",) and "" not in reading.read


def test_one_of_several_questions_and_one_that_goes_on_are_found() -> None:
    reading = _Reading({"how old is Quenby?": (0.8, 0.0, -1.0)}, {"And since when?": (0.7, 0.0, -1.0)})
    routing = _routing(reading)
    assert routing.in_scope("What is red, and blue, how old is Quenby?") == ("fair", "order")
    assert "What is red" not in reading.read  # it mentions no subject
    assert routing.in_scope("He said how old is Quenby") == ("order",)  # no question: a text to work on
    assert routing.of(_conversation("I love Quenby.", "It is old.", "And since when?")).lesson_ids == ("fair", "order")


def test_a_lesson_about_who_asks_needs_no_word_in_common_and_the_likest_is_meant() -> None:
    said = {"Who am I?": (0.0, 0.95, 1.0), "What is his name?": (0.0, 0.95, -1.0), "How is my pet called?": (0.6, 0.75, 0.8)}
    said["How is my dog called?"] = (0.6, 0.75, 0.7)
    routing = _routing(_Reading(said), personal=True)
    assert routing.in_scope("Who am I?") == ("name",)
    assert routing.in_scope("What is his name?") == ()  # the same word and the same thing, of another's life
    assert routing.in_scope("How is my pet called?") == ("cat",)
    assert routing.in_scope("How is my dog called?") == ()  # something known that is not taught
    assert routing.in_scope("What is red?") == ()


def test_a_few_questions_that_were_never_read_are_read_at_a_message() -> None:
    scopes = {(f"l{n}", "1"): Scope("", {f"w{n}": 1.0}, question=f"question {n}") for n in range(9)}
    reading = _Reading({f"question {n}": (0.0, 1.0, 1.0) for n in range(9)})
    routing = Routing(MagicMock(), sorted(scopes), scopes, {}, MagicMock(), relations=reading)
    for known in (4, 8, 9):
        routing.in_scope("x")
        assert len([text for text in set(reading.read) if text.startswith("question")]) == known


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
    relations.of("more", [{"role": "system", "content": "s"}, *_conversation("a", "b", "c", "d")])
    assert [text for _, text in list(states)[-1]] == ["c", "d", "more"]
