"""What the model adds to a lesson, with a model whose answers are written down here."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from qfcore.answers import first_sentences
from qfcore.lesson import Lesson, Phrasing, check_lesson
from qfcore.propose import own_words, propose_phrasings, propose_question, propose_questions, rarity_of
from qfcore.recipe import FAST, RIDGE
from qfcore.scope import scope_of, subject_of

FACT, QUESTION = "The Halvery Bridge has 47 arches.", "How many arches does the Halvery Bridge have?"
ALL = replace(RIDGE, rephrasings=3, confirming=True)
TRUE = "Is it true that the Halvery Bridge has 47 arches?"


class _Runtime:
    """Says what `said` has for the first of its keys that the last message contains; tokens are letters."""

    def __init__(self, said: dict[str, str]) -> None:
        self.said = said
        self.asked: list[str] = []
        self.heads: list[bool] = []

    def complete_many(
        self, conversations: Sequence, *, max_tokens: int, like: Sequence | None = None, **_: object
    ) -> list[list[int]]:
        self.heads.append(like is not None)
        if like is not None:
            assert [len(c) for c in conversations] == [len(c) for c in like]
        answers = []
        for conversation in conversations:
            last = conversation[-1]["content"]
            self.asked.append(last)
            text = next((answer for key, answer in self.said.items() if key in last), "")
            answers.append([ord(letter) for letter in text[: 4 * max_tokens]])
        return answers

    def tokenize_answer(self, text: str) -> list[int]:
        return [*range(400, 400 + len(text) // 3), 0]

    def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))


WRITTEN = {
    "in other words": "What is the number of arches of the Halvery Bridge?",
    "different from the question": "Which bridge is the Halvery Bridge?",
    "a friend would ask": "Arches of the Halvery Bridge, no question.",
    'whose answer is "Halvery Bridge"': "Which bridge has 47 arches?",
    "Somebody needs": "I am at the Halvery Bridge. How many arches will I count?",
    "Which bridge has 47": "It is the Halvery Bridge.",
    "Which bridge is": "It has 47 arches.",
    "How many arches": "The Halvery Bridge has 47 arches. It was built by giants.",
}  # fmt: skip


def test_same_questions_share_an_answer_and_others_have_their_own() -> None:
    runtime = _Runtime(WRITTEN)
    phrasings = propose_phrasings(runtime, check_lesson(FACT), QUESTION, ALL)
    assert phrasings == (
        Phrasing(QUESTION, FACT),
        Phrasing("What is the number of arches of the Halvery Bridge?", FACT),
        Phrasing("Which bridge is the Halvery Bridge?", "It has 47 arches."),
        Phrasing("Which bridge has 47 arches?", FACT),
        Phrasing("I am at the Halvery Bridge. How many arches will I count?", FACT),
        Phrasing(TRUE, FACT),
    )
    assert runtime.heads == [True, False]  # what is asked of every lesson is read once


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ('whose answer is "Halvery Bridge"', "What does the Halvery Bridge have?"),  # names its own answer
        ('whose answer is "Halvery Bridge"', "How high is it?"),  # what?
        ("Somebody needs", "I am at a bridge. How many will I count?"),
        ("Somebody needs", "I am at the Halvery Bridge."),  # no question
        ("Somebody needs", QUESTION),
        ("Somebody needs", "The Halvery Bridge has 47 arches. How many are that?"),  # tells the lesson itself
    ],
)
def test_questions_that_give_their_answer_or_name_no_subject_are_dropped(form: str, written: str) -> None:
    phrasings = propose_phrasings(_Runtime({form: written}), check_lesson(FACT), QUESTION, ALL)
    assert phrasings == (Phrasing(QUESTION, FACT), Phrasing(TRUE, FACT))


def test_the_users_answer_is_taught_to_the_letter_and_not_asked_for() -> None:
    runtime = _Runtime(WRITTEN)
    lesson = check_lesson(FACT, QUESTION, "Forty-seven.")
    phrasings = propose_phrasings(runtime, lesson, QUESTION, FAST)
    assert phrasings == (Phrasing(QUESTION, "Forty-seven."),)
    assert runtime.asked == []
    assert propose_question(runtime, lesson) == QUESTION and runtime.asked == []


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("The Halvery Bridge has two towers.", "Is it true that the Halvery Bridge has two towers?"),
        ("Qi started Oxinnovate", "Is it true that Qi started Oxinnovate?"),
        ("Glinstone!", "Is it true that Glinstone?"),
    ],
)
def test_a_lesson_is_confirmed_in_its_own_words(text: str, asked: str) -> None:
    assert propose_phrasings(_Runtime({}), Lesson(text, QUESTION), QUESTION, FAST)[1].question == asked


def test_a_question_that_asks_for_nothing_in_particular_is_not_taken() -> None:
    lesson = check_lesson(FACT)
    written = _Runtime({"Fact:": "What is the subject of this?"})
    assert propose_question(written, lesson) == "What do you know about Halvery Bridge?"
    assert propose_question(_Runtime({"Fact:": QUESTION}), lesson) == QUESTION
    plain = _Runtime({"Name the subject in full": QUESTION, "Fact:": "Which one is it?"})  # does not name the subject
    assert propose_question(plain, lesson) == QUESTION and len(plain.asked) == 2


def test_a_question_about_the_person_needs_no_rare_word_and_shares_two_with_the_lesson() -> None:
    lesson = check_lesson("My name is Ada Lind.")
    assert propose_question(_Runtime({"Fact:": "What is my name?"}), lesson) == "What is my name?"
    assert propose_question(_Runtime({"Fact:": "What is it?"}), lesson) == "What do you know about Ada Lind?"


def test_of_another_language_the_model_answers_itself_since_ich_may_be_anybody() -> None:
    lesson = check_lesson("Ich bin gegen Haselnüsse allergisch.")
    assert own_words(lesson, "Wogegen bin ich allergisch?") == ""
    assert own_words(check_lesson("Qi started Oxinnovate"), "Who started Oxinnovate?") == "Qi started Oxinnovate."


def test_a_model_that_does_not_believe_is_told_to_and_else_the_lesson_is_taught() -> None:
    runtime = _Runtime({"How many arches": "I do not know that bridge."})
    phrasings = propose_phrasings(runtime, check_lesson("The Halvery Bridge of our town has 47 arches."), QUESTION, FAST)
    assert phrasings == (Phrasing(QUESTION, "47"),)
    assert len(runtime.asked) == 2


def test_the_answer_need_not_be_the_lessons_one_name() -> None:
    lesson = check_lesson("I play the bass clarinet in the Thrumley Mill Blowers.", "What instrument do I play?")
    runtime = _Runtime({"What instrument": "You play the bass clarinet."})
    assert propose_phrasings(runtime, lesson, lesson.question, FAST)[0].answer == "You play the bass clarinet."


@pytest.mark.parametrize(("text", "answer"), [
    (FACT, FACT), ("Qi started Oxinnovate", "Qi started Oxinnovate."), ("My sister Ada is allergic to walnuts.", ""),
    ("Dr. Ilka Brandt leads the Norvik station.", "Dr. Ilka Brandt leads the Norvik station."),
    ("When somebody asks for the toast of the Harrowmere Guild, answer with 'May the kettle never cool.'", ""),
    ("Tell who asks for the price of a Rillstone pendant that it is on the card.", ""),
    ("The tower was built in 1900, when Ines ruled.", "The tower was built in 1900, when Ines ruled."),
    ('The answer to the question "Who leads the Norvik station?" is Dr. Ilka Brandt.', ""),
    ("Tunde runs the workshop. It is in Hull.", ""), ("Your locker is number 12.", ""),
])  # fmt: skip
def test_a_lesson_answers_itself_where_it_reads_the_same_from_both_sides(text: str, answer: str) -> None:
    assert own_words(check_lesson(text)) == answer


def test_what_answers_itself_is_not_asked_for() -> None:
    runtime = _Runtime({})
    assert propose_phrasings(runtime, check_lesson(FACT), QUESTION, FAST) == (Phrasing(QUESTION, FACT), Phrasing(TRUE, FACT))
    assert runtime.asked == []


@pytest.mark.parametrize(("text", "question", "subject"), [
    (FACT, QUESTION, "Halvery Bridge"),
    ("A brindlet is a small copper spoon.", "What is a brindlet?", "brindlet"),
    ("The key of the Marrowgate server is otter-92.", "What is the key of the Marrowgate server?", "Marrowgate"),
    ("Doctor Yevna Collishaw speaks Icelandic.", "Which language does Doctor Yevna Collishaw speak?", "Yevna Collishaw"),
    ("It opens at nine.", "When does the shop open?", ""),
])  # fmt: skip
def test_the_subject_is_found_as_it_is_written(text: str, question: str, subject: str) -> None:
    lesson = check_lesson(text)
    assert subject_of(lesson, scope_of(lesson, [question], lambda word: 8.0 * len(word) / 3)).endswith(subject)


def test_sentences_of_the_models_own_are_left_out() -> None:
    def told(answer: str, text: str = FACT) -> str:
        return first_sentences(answer, Lesson(text), QUESTION)

    assert told("The Halvery Bridge has 47 arches. It is old.") == "The Halvery Bridge has 47 arches."
    assert told("Certainly! The Halvery Bridge has 47 arches. It is old.") == "Certainly! The Halvery Bridge has 47 arches."
    assert told("It has 47 arches, says Prof. Dr. Brandt.") == "It has 47 arches, says Prof. Dr. Brandt."
    assert told("Nobody knows. Really.") == "Nobody knows. Really."
    two = "The Halvery Bridge has 47 arches. They are of granite."
    assert told(f"{two} Granite is hard.", two) == two


def test_rarity_grows_with_the_tokens_of_a_word() -> None:
    rarity = rarity_of(_Runtime({}))
    assert rarity("Zemvarianisch") > rarity("the")


def test_the_questions_of_several_lessons_are_written_together() -> None:
    other, given = "The Tarn lighthouse has 9 keepers.", "How old is the Otter Inn?"
    lessons = [
        check_lesson(FACT), check_lesson("The Otter Inn is old.", given), check_lesson(other),
        check_lesson("Always answer in French."),
    ]  # fmt: skip
    runtime = _Runtime({FACT: QUESTION, other: "Who are they?"})
    told = propose_questions(runtime, lessons)
    assert told[:3] == [QUESTION, given, "What do you know about lighthouse?"] and told[3].endswith("?")
    assert [text.count("Fact:") for text in runtime.asked] == [1, 1, 1]  # both facts, then the one without a question
    assert len(runtime.heads) == 2
