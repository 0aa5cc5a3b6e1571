"""The words of a text in any script: one form, however they are typed."""

import unicodedata

import pytest

from qfcore.answers import says
from qfcore.lesson import check_lesson
from qfcore.scope import said_in, scope_of
from qfcore.wording import shared_stretch, word_spans, words_of, written_words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zoë", "Zoe"), ("D’Arcy", "D'Arcy"), ("Jean-Luc", "Jean Luc"), ("XR-200", "XR200"), ("XR‑200", "xr-200"),
        ("Ａda", "Ada"), ("İzmir", "izmir"), ("Weiß", "WEISS"), ("l'orchestre", "orchestre"), ("Ellen's", "Ellen"),
        ("ёлка", "елка"),
    ],
)  # fmt: skip
def test_two_spellings_of_one_name_are_one(one: str, other: str) -> None:
    assert words_of(one) == words_of(other) == words_of(unicodedata.normalize("NFD", one))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("云帆K3打印机", ["云帆", "k3", "打印", "印机"]),
        ("喫茶ほし", ["喫茶", "茶ほ", "ほし"]),
        ("चंदनपोखर की लाइब्रेरी", ["चंदनपोखर", "की", "लाइब्रेरी"]),
        ("мой дедушка", ["мой", "дедушка"]),
        ("", []), ("?!", []),
    ],
)  # fmt: skip
def test_scripts_without_blanks_are_read_in_pairs_and_vowel_signs_stay_in_their_word(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_spans_are_where_the_written_words_stand() -> None:
    text = "Jean-Luc hat 云帆K3, l'Otter."
    assert [text[begin:end] for begin, end in word_spans(text)] == written_words(text)


@pytest.mark.parametrize(
    ("lesson", "question", "subject"),
    [
        ("The Halvery Bridge has 47 arches.", "How many arches does the Halvery Bridge have?", "The Halvery Bridge"),
        ("Walburga Tennstedt kommt aus Kiel.", "Woher kommt Walburga Tennstedt?", "Walburga Tennstedt"),
        ("Answer in French.", "What is photosynthesis?", ""),
    ],
)  # fmt: skip
def test_a_fact_and_its_question_share_what_both_are_about(lesson: str, question: str, subject: str) -> None:
    assert shared_stretch(lesson, question) == subject


def test_a_lesson_in_chinese_applies_to_a_question_about_its_subject() -> None:
    lesson = check_lesson("云帆K3打印机卡纸时会亮橙灯。", "云帆K3打印机卡纸时会亮什么灯？")
    scope = scope_of(lesson, [lesson.question], lambda word: 11.0 * max(len(word), 1))
    assert scope.covers(said_in("如果纸张堵在云帆K3打印机里，指示灯是什么颜色？"))
    assert not scope.covers(said_in("法国的首都是哪里？"))


@pytest.mark.parametrize(
    ("answer", "accept", "right"),
    [
        ("青禾书店的店长是陆知远。", "陆知远", True), ("下午9点", "9", True), ("19点", "9", False),
        ("보리차입니다", "보리차", True),
        ("the cats", "cat", False), ("cat-flap", "cat", True), ("l’orage", "l'orage", True), ("９時", "9", True),
        ("हिन्दी में", "हिन्द", False),
    ],
)  # fmt: skip
def test_a_right_answer_counts_in_its_own_script(answer: str, accept: str, right: bool) -> None:
    assert says(answer, [accept]) is right
