"""From answers to rates: what a suite and its conversations are scored by."""

from qfcore.measure.conversations import conversation_scores, is_right
from qfcore.measure.scores import (
    asked_questions,
    by_group,
    locality_of,
    loops_of,
    same_subject_of,
    scores_of,
    survival_of,
    worst_of,
)
from qfcore.measure.table import table_lines

ITEM = {
    "id": "a", "lesson": "The Halvery Bridge has 47 arches.", "question": "q?", "accept": ["47"], "paraphrases": ["p?"],
    "neighbours": ["n?"], "same_subject": ["colour?", "age?", "joke?"], "group": "place",
    "portability": [{"question": "less two?", "accept": ["45"]}],
    "survive": [{"question": "river?", "accept": ["Tamble"]}, {"question": "country?", "accept": ["Ruritania"]}],
}  # fmt: skip
BASE = ["no", "no", "Paris.", "It is red.", "Very old.", "A joke.", "no", "The Tamble.", "no idea"]
TAUGHT = ["47", "47 arches", "Paris.", "It has 47 arches.", "Very old.", "Ha Ha Ha Ha Ha Ha", "45", "The Tamble.", "47"]


def test_every_question_is_asked_once_and_scored_by_its_kind() -> None:
    assert len(asked_questions(ITEM)) == len(BASE)
    scores = scores_of([ITEM], TAUGHT)
    assert [scores[name]["hits"] for name in ("recall", "generalisation", "portability")] == [1, 1, 1]
    assert locality_of([ITEM], BASE, TAUGHT)["identical"]["rate"] == 1.0


def test_the_same_subject_asked_otherwise_is_a_parrot_a_loop_or_as_before() -> None:
    found = same_subject_of([ITEM], BASE, TAUGHT)
    hits = {name: rate["hits"] for name, rate in found.items()}
    assert hits == {"parrots": 1, "loops": 1, "identical": 1, "same_meaning": 2}
    assert loops_of([ITEM], BASE, TAUGHT)["hits"] == 1 and loops_of([ITEM], TAUGHT, TAUGHT)["hits"] == 0


def test_what_the_model_knew_survives_and_what_it_never_knew_does_not_count() -> None:
    assert survival_of([ITEM], BASE, TAUGHT) == survival_of([ITEM], BASE, BASE)
    assert survival_of([ITEM], BASE, TAUGHT)["of"] == 1
    assert survival_of([ITEM], BASE, [*TAUGHT[:7], "47", "47"])["rate"] == 0.0


def test_the_worst_answers_come_first() -> None:
    assert [answer["question"] for answer in worst_of([ITEM], BASE, TAUGHT)] == ["joke?", "colour?"]


def test_groups_are_scored_apart_where_there_are_several() -> None:
    assert by_group([ITEM], len) == {}
    assert by_group([ITEM, {**ITEM, "group": "", "lang": "de"}, ITEM], len) == {"de": 1, "place": 2}


TALK = {
    "id": "t", "kind": "change", "messages": [{"role": "user", "content": "And Frida?"}], "must": ["(?i)mexico"],
    "never": ["Lisbon"],
}  # fmt: skip


def test_a_conversation_is_right_with_all_that_it_must_and_nothing_that_it_must_never_say() -> None:
    assert is_right(TALK, "", "In Mexico City.") and not is_right(TALK, "", "In Lisbon, not in Mexico.")
    assert not is_right(TALK, "", "I do not know.") and not is_right(TALK, "", "Mexico " * 5)
    scores = conversation_scores([TALK, {**TALK, "kind": "back"}], ["", ""], ["Mexico", "Lisbon"])
    assert {kind: rate["hits"] for kind, rate in scores["kinds"].items()} == {"all": 1, "back": 0, "change": 1}
    assert [wrong["taught"] for wrong in scores["wrong"]] == ["Lisbon"]


def test_the_table_shows_the_worst_beside_the_best() -> None:
    one = {"rate": 1.0, "hits": 1, "of": 1, "interval": [0, 1]}
    scope = dict.fromkeys(("questions", "paraphrases", "neighbours"), one)
    value = {
        "lessons": 1, "taught": scores_of([ITEM], TAUGHT), "base": scores_of([ITEM], BASE), "ceiling": {},
        "locality": locality_of([ITEM], BASE, TAUGHT), "same_subject": same_subject_of([ITEM], BASE, TAUGHT),
        "survival": survival_of([ITEM], BASE, TAUGHT), "loops": loops_of([ITEM], BASE, TAUGHT), "groups": {}, "scope": scope,
        "worst": worst_of([ITEM], BASE, TAUGHT), "untaught": {"remembered": 0}, "seconds": {"ask": 1}, "rank": 1,
        "seconds_per_lesson": 1.0, "net": {"softened": {"Momo": 0.7}, "refused": ["Alma"]},
    }  # fmt: skip
    text = "\n".join(table_lines(value))
    for expected in ("parrots", "survives", "loops", "joke? → Ha Ha", "smaller change (70%)", "refused", "recall"):
        assert expected in text
