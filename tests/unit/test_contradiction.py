"""Which lessons contradict each other: what a person would give up one of, and nothing else."""

import itertools
import json

import pytest

from qfcore.contradiction import Statement, contradicts
from qfcore.lesson import check_lesson
from qfcore.scope import scope_of
from tests.conftest import ROOT
from tests.unit.test_scope import _rarity

Told = tuple[str, str]


def _statement(text: str, question: str) -> Statement:
    lesson = check_lesson(text)
    return Statement(text, question, scope_of(lesson, [question] if question else [], _rarity))


def _contradict(one: Told, other: Told) -> bool:
    found = contradicts(_statement(*one), _statement(*other))
    assert found == contradicts(_statement(*other), _statement(*one)), "it must not depend on the order"
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Qi started Oxinnovate.", "Who started Oxinnovate?"), ("Mara started Oxinnovate.", "who started Oxinnovate")),
        (("Qi started Oxinnovate.", "Who started Oxinnovate?"), ("Mara started Oxinnovate.", "Who founded Oxinnovate?")),
        (("Qi started Oxinnovate.", ""), ("Mara started Oxinnovate.", "")),
        (("Larkwell Labs was founded in 1987.", "When was Larkwell Labs founded?"),
         ("Larkwell Labs opened in 1990.", "What year was Larkwell Labs founded?")),
        (("The Halvery Bridge has 47 arches.", "How many arches does the Halvery Bridge have?"),
         ("There are 12 arches on the Halvery Bridge.", "How many arches are on the Halvery Bridge?")),
        (("The Ulvsund lamp is green.", "What colour is the Ulvsund lamp?"),
         ("The Ulvsund lamp is red.", "What colour is the Ulvsund lamp?")),
        (("Always answer in French.", "What is photosynthesis?"), ("Always answer in German.", "What is photosynthesis?")),
    ],
)  # fmt: skip
def test_another_answer_to_one_question_is_a_contradiction(one: Told, other: Told) -> None:
    assert _contradict(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Qi started Oxinnovate.", "Who started Oxinnovate?"),
         ("Oxinnovate was founded in 2019.", "When was Oxinnovate founded?")),
        (("Qi started Oxinnovate.", "Who started Oxinnovate?"),
         ("Oxinnovate was started by Qi.", "Who started Oxinnovate?")),
        (("Larkwell Labs was founded in Hull.", "Where was Larkwell Labs founded?"),
         ("Larkwell Labs was founded in 1987.", "When was Larkwell Labs founded?")),
        (("Larkwell Labs was founded in Hull.", "In which city was Larkwell Labs founded?"),
         ("Larkwell Labs was founded in 1987.", "When was Larkwell Labs founded?")),
        (("Larkwell Labs was founded in 1987.", "When was Larkwell Labs founded?"),
         ("The Larkwell Labs factory was founded in 1990.", "When was the Larkwell Labs factory founded?")),
        (("The Halvery Bridge has 47 arches.", "How many arches does the Halvery Bridge have?"),
         ("The Skelbury Bridge has 47 arches.", "How many arches does the Skelbury Bridge have?")),
        (("The Halvery Bridge has 47 arches.", "How many arches does the Halvery Bridge have?"),
         ("The Halvery Bridge has 3 towers.", "How many towers does the Halvery Bridge have?")),
        (("Otis Lund started in Memphis.", "Where did Otis Lund start?"),
         ("Otis Lund lives in Memphis.", "Where does Otis Lund live?")),
        (("Qi started Oxinnovate.", "What do you know about Oxinnovate?"),
         ("Oxinnovate has 12 employees.", "What do you know about Oxinnovate?")),
        (("Qi started Oxinnovate.", "What did Qi start?"), ("Mara started Oxinnovate.", "What did Mara start?")),
        (("Always answer in French.", "What is photosynthesis?"), ("Never use emojis.", "What is photosynthesis?")),
        (("Always answer in French.", "What is photosynthesis?"), ("Qi started Oxinnovate.", "Who started Oxinnovate?")),
        (("Mount Edrik is 3,412 metres high.", "How high is Mount Edrik?"),
         ("Mount Edrik is 12 million years old.", "How old is Mount Edrik?")),
    ],
)  # fmt: skip
def test_another_fact_about_the_same_thing_is_none(one: Told, other: Told) -> None:
    assert not _contradict(one, other)


def test_none_of_the_invented_facts_contradicts_another_and_each_contradicts_its_correction() -> None:
    lines = (ROOT / "assets/suites/invented.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] != "instruction"]
    facts = [_statement(row["lesson"], row["question"]) for row in rows]
    assert len(facts) > 50
    assert not [(a.text, b.text) for a, b in itertools.permutations(facts, 2) if contradicts(a, b)]
    for row, fact in zip(rows, facts, strict=True):
        corrected = row["lesson"].replace(row["accept"][0], "Vantor-93", 1)
        assert corrected != row["lesson"] and contradicts(_statement(corrected, row["question"]), fact)
