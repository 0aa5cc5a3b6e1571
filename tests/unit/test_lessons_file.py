"""Lessons from JSON lines, CSV and plain text: every lesson or a named line, never something else."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.lessons_file import lessons_of, read_lessons
from qfcore.errors import LessonError
from tests.soaking import examples


def test_the_three_forms_say_the_same(tmp_path: Path) -> None:
    forms = {
        "a.jsonl": '{"text": "A, with a comma.", "question": "Q?", "answer": "A"}\n{"lesson": "B."}\n',
        "a.csv": '\ufefftext,question,answer\r\n"A, with a comma.",Q?,A\r\nB.,,\r\n',
    }
    found = {}
    for name, content in forms.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        found[name] = [(x.text, x.question, x.answer) for x in read_lessons(tmp_path / name)]
    assert found["a.jsonl"] == found["a.csv"] == [("A, with a comma.", "Q?", "A"), ("B.", "", "")]
    assert [x.text for x in lessons_of("A.\n\n  B. \n", "a.txt")] == ["A.", "B."]
    assert lessons_of("A.", "a.txt")[0].source == "file:a.txt"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", "", "no lessons"), ("a.jsonl", "{", "line 1: no valid JSON"),
        ("a.jsonl", '{"text": "A."}\n[1]', "line 2: a JSON object"),
        ("a.jsonl", '{"text": ""}', "line 1: The lesson is empty"), ("a.jsonl", '{"text": 5}', "line 1: The lesson is int"),
        ("a.jsonl", '{"text": "A.", "text": "B."}', "stands twice"), ("a.jsonl", '{"text": NaN}', "NaN is no JSON"),
        ("a.jsonl", "[" * 100_000, "line 1"), ("a.jsonl", '{"text": "\\ud800"}', "line 1"),
        ("a.csv", "txt\nA.", "the header is 'txt'"), ("a.csv", "text,text\nA.,B.", "each once"),
        ("a.csv", "question\nQ?", "the header"), ("a.csv", "text\nA, B.", "line 2: 2 cells"),
        ("a.csv", 'text\n"A', "no valid CSV"), ("a.csv", "text,secret\nA.,B.", "the header"),
        ("a.txt", " \n \n", "no lessons"), ("a.txt", "A.\n" + "x" * 5000, "line 2: The lesson has 5,000 characters"),
        ("a.txt", "A.\n" * 10_001, "more than 10,000"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(name: str, content: str, words: str) -> None:
    with pytest.raises(LessonError, match=words):
        lessons_of(content, name)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00A")
    with pytest.raises(LessonError, match="UTF-8"):
        read_lessons(tmp_path / "a.txt")
    with pytest.raises(LessonError, match="cannot be read"):
        read_lessons(tmp_path)


@settings(max_examples=examples(300), deadline=None)
@given(content=st.text(), name=st.sampled_from(["a.jsonl", "a.csv", "a.txt"]))
def test_any_text_gives_lessons_or_one_clear_error(content: str, name: str) -> None:
    try:
        lessons = lessons_of(content, name)
    except LessonError as error:
        assert name in str(error)
    else:
        assert lessons and all(lesson.text.strip() for lesson in lessons)


texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=50)


@settings(max_examples=examples(200), deadline=None)
@given(wanted=st.lists(texts, min_size=1, max_size=5))
def test_what_is_written_as_json_is_read_back(wanted: list[str]) -> None:
    content = "\n".join(json.dumps({"text": text}, ensure_ascii=len(text) % 2 == 0) for text in wanted)
    try:
        found = [lesson.text for lesson in lessons_of(content, "a.jsonl")]
    except LessonError:
        return
    assert len(found) == len(wanted)


def test_a_csv_cell_may_hold_the_line_ends_of_windows() -> None:
    [lesson] = lessons_of('text\r\n"One.\r\nTwo."\r\n', "a.csv")
    assert lesson.text == "One.\nTwo."
