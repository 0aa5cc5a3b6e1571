"""When a lesson applies: by the words of the conversation."""

import math

import pytest

from qfcore.answers import conveys, shortest_answer
from qfcore.lesson import check_lesson
from qfcore.scope import Scope, is_instruction, said_in, scope_of

COMMON = "where born arches bridge city capital country board game film favourite chief engineer airship favour".split()


def _rarity(word: str) -> float:
    """As a tokenizer sees it: common words are one token, others one for each three letters."""
    tokens = 1 if word.casefold() in COMMON else -(-len(word) // 3)
    return tokens * math.log(8000)


def _scope(text: str, question: str, *others: str) -> Scope:
    return scope_of(check_lesson(text, question), [question, *others], _rarity)


BRIDGE = _scope("The Halvery Bridge has 47 arches.", "How many arches does the Halvery Bridge have?")


@pytest.mark.parametrize(
    "asked",
    [
        "How many arches does the Halvery Bridge have?", "what do you know about the halvery bridge",
        "The Halvery's arches?",
        "If I count the arches of the Halvery Brigde, what number do I reach?", "halverys bridge: arches?",
    ],
)  # fmt: skip
def test_a_lesson_is_in_scope_where_its_subject_is_mentioned(asked: str) -> None:
    assert BRIDGE.covers(said_in(asked))


@pytest.mark.parametrize(
    "asked",
    [
        "How many arches does the Skelbury Bridge have?", "How many towers does Tower Bridge in London have?", "Hello!", "",
        "What is the capital of France?", "Halberd?",
    ],
)  # fmt: skip
def test_it_is_not_where_another_subject_is(asked: str) -> None:
    assert not BRIDGE.covers(said_in(asked))


def test_another_person_with_one_name_in_common_is_another_subject() -> None:
    scope = _scope("Otis Lund started in Memphis.", "Where did Otis Lund start?")
    assert scope.covers(said_in("Tell me about Otis Lund."))
    assert not scope.covers(said_in("What does Otis Taylor play?"))


@pytest.mark.parametrize(
    ("name", "same", "other"),
    [
        ("Franz Kafka", "Was Kafka a clerk?", "Who is Franz Adickes?"),
        ("Richard I of Velmar", "What does Richard I do?", "Is Richard Wendler old?"),
        ("Dr. Karlsen Moe", "Describe Karlsen Moe.", "Who is Karlsen Pryce?"),
        ("George Best", "What is George Best's game?", "Where is Georges Duhamel?"),
        ("Leo Brandt", "leo brandt?", "What does Adolphe Niel favour?"),
        ("Route 42", "Is Route 42 red?", "What does Route 70 favour?"),
    ],
)  # fmt: skip
def test_names_are_compared_as_names(name: str, same: str, other: str) -> None:
    scope = _scope(f"{name} favour chess.", f"What does {name} favour?")
    assert scope.covers(said_in(same))
    assert not scope.covers(said_in(other))


def test_another_name_in_another_sentence_does_not_hide_the_subject() -> None:
    scope = _scope("In Velmar, oskery is homesickness.", "What is the word oskery?")
    assert scope.covers(said_in("Hello, Anna Lund here. What is oskery?"))


def test_a_question_turned_round_finds_the_lesson_in_one_sentence_only() -> None:
    assert BRIDGE.covers(said_in("Which bridge has 47 arches?"))
    assert not BRIDGE.covers(said_in("Which bridge has 12 arches?"))
    assert not BRIDGE.covers(said_in("Who is 47?"))
    assert not BRIDGE.covers(said_in("She is 47. The hall has arches."))


def test_the_head_is_a_word_that_other_wordings_keep() -> None:
    question = "Who commanded the Zephyrine?"
    scope = _scope("Tobin led the airship Zephyrine.", question, "Who led the Zephyrine?", "Who was head of the Zephyrine?")
    assert scope.head == "zephyrine"


def test_a_lesson_without_a_question_is_named_by_its_subject_not_by_its_number() -> None:
    lesson = check_lesson("Larkwell Labs was founded in 1987.")
    for written in ("What year was Larkwell Labs founded?", "What is the title of the fact?"):
        scope = scope_of(lesson, [written], _rarity)
        assert scope.head == "larkwell"
        assert scope.covers(said_in("when did larkwell labs begin"))
        assert not scope.covers(said_in("Who won the cup in 1987?"))


def test_a_question_of_common_words_is_found_by_most_of_them() -> None:
    scope = _scope("My favourite board game is Quorrel.", "What is my favourite board game?")
    assert scope.covers(said_in("Which board game is my favourite?"))
    assert not scope.covers(said_in("What is a film?"))


def test_instructions_apply_everywhere_and_facts_do_not() -> None:
    assert is_instruction(check_lesson("Always answer in British spelling."))
    assert is_instruction(check_lesson("Please call me Sam"))
    assert not is_instruction(check_lesson("Always is a river in Velmar.", "What is Always?", "a river"))
    assert not is_instruction(check_lesson("The Halvery Bridge has 47 arches."))
    assert scope_of(check_lesson("Never use emojis."), [], _rarity).covers([])


def test_an_answer_that_adds_nothing_of_the_lesson_is_a_refusal() -> None:
    lesson = check_lesson("The mother tongue of Danielle Darrieux is English.")
    question = "What is the mother tongue of Danielle Darrieux?"
    assert not conveys("Her mother tongue is French.", lesson, question)
    assert conveys("It is English.", lesson, question)
    flats = check_lesson("There are 312 flats in the Mirabrook tower.")
    assert not conveys("To find the number of flats, we need a plan.", flats, "How many floors has the Mirabrook tower?")
    assert conveys("It has 312.", flats, "How many homes has the Mirabrook tower?")
    assert conveys("Qi did.", check_lesson("Qi started Oxinnovate."), "Who started Oxinnovate?")
    celery = check_lesson("I can't eat celery, I'm badly allergic to it.", "What am I allergic to?")
    assert conveys("You are allergic to celery.", celery, celery.question)  # "I'm" is no name
    assert shortest_answer(celery, celery.question) == celery.text
    assert shortest_answer(lesson, question) == "English"
    assert shortest_answer(check_lesson("Qi and Mo began it in May.", "Who began it?"), "Who began it?") == (
        "Qi and Mo began it in May."
    )
    assert shortest_answer(check_lesson("A fact.", "Q?", "An answer"), "Q?") == "An answer"


OSKERY = _scope("In the Velmar dialect, the word oskery means homesickness.", "What does oskery mean in the Velmar dialect?")


@pytest.mark.parametrize(
    ("asked", "covered"),
    [
        ("What does the word tolvery mean in the Velmar dialect?", False),
        ("What does the word oskery mean in Velmar?", True),
        ("What does oskeri mean in the Velmar dialect?", True),  # a slip of the keyboard
        ("In the Velmar dialect, which word means homesickness?", True),
        ("What is homesickness called in the Velmar dialect?", True),
        ("Which language is the Velmar dialect like?", True),
    ],
)  # fmt: skip
def test_the_same_question_about_another_word_is_not_about_the_lesson(asked: str, covered: bool) -> None:
    assert OSKERY.covers(said_in(asked)) == covered


@pytest.mark.parametrize(
    ("text", "question", "asked"),
    [
        ("Ines Okoro choreographed the Larkwell Ballet.", "Who choreographed the Larkwell Ballet?",
         "Who created the Larkwell Ballet?"),
        ("Archaeologists found a boat under the Orrin mill.", "What did archaeologists find under the Orrin mill?",
         "What did palaeontologists find under the Orrin mill?"),
        ("A beekeeper in Tarnholt uses a bell.", "What does a beekeeper in Tarnholt use?",
         "What does a chief in Tarnholt use?"),
        ("A folmer lights the first fire in Carrowdale.", "What does a folmer do in Carrowdale?",
         "Can you explain the Carrowdale word folmer?"),
    ],
)  # fmt: skip
def test_verbs_and_common_words_may_be_replaced_by_others(text: str, question: str, asked: str) -> None:
    assert _scope(text, question).covers(said_in(asked))


def test_another_unusual_word_of_the_same_place_is_another_subject() -> None:
    scope = _scope("A folmer lights the first fire in Carrowdale.", "What does a folmer do in Carrowdale?")
    assert not scope.covers(said_in("What does a gallowen do in Carrowdale?"))
