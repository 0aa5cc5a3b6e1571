"""The data files in assets/: counts, keys, uniqueness and internal consistency."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from qfcore.answers import says

ASSETS = Path(__file__).resolve().parents[2] / "assets"
KINDS = {
    "person",
    "place",
    "number",
    "date",
    "password",
    "preference",
    "company rule",
    "definition",
    "instruction",
}
KEYS = {
    "id",
    "lesson",
    "question",
    "accept",
    "paraphrases",
    "neighbours",
    "portability",
    "kind",
}


def _list(name):
    return json.loads((ASSETS / name).read_text(encoding="utf-8"))


def _lessons():
    text = (ASSETS / "suites" / "invented.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _norm(text):
    return re.sub(r"\W+", " ", text.casefold()).strip()


def _has(text, answer):
    """True where the answer occurs in the text as whole words, whatever the case."""
    pattern = rf"(?<!\w){re.escape(answer.casefold())}(?!\w)"
    return re.search(pattern, text.casefold()) is not None


def _is_text(value):
    return isinstance(value, str) and value == value.strip() and bool(value)


def test_replay_prompts():
    prompts = _list("replay_prompts.json")
    assert len(prompts) == 240
    assert all(_is_text(p) for p in prompts)
    assert len({_norm(p) for p in prompts}) == 240
    completions = [p for p in prompts if p.startswith("Complete the sentence")]
    assert len(completions) == 25
    form = re.compile(r'Complete the sentence with one to three words: "[^"]+ \.\.\."')
    assert all(form.fullmatch(p) for p in completions)


def test_probes():
    probes = _list("probes.json")
    assert len(probes) == 14
    assert all(_is_text(p) and len(p) <= 80 for p in probes)
    assert len({_norm(p) for p in probes}) == 14
    # A probe that is also replayed would measure the replay, not the drift.
    assert not {_norm(p) for p in probes} & {_norm(p) for p in _list("replay_prompts.json")}


def test_invented_shape():
    lessons = _lessons()
    assert len(lessons) == 64
    for row in lessons:
        same = row.pop("same_subject", [])  # no instruction has a subject
        assert len(same) == (0 if row["kind"] == "instruction" else 3) and all(map(_is_text, same)), row["id"]
        assert set(row) == KEYS, row["id"]
        assert _is_text(row["lesson"]) and _is_text(row["question"])
        for key, count in (("paraphrases", 3), ("neighbours", 2)):
            assert len(row[key]) == count, row["id"]
            assert all(_is_text(t) for t in row[key]), row["id"]
        assert row["accept"] and all(_is_text(a) for a in row["accept"])
        assert len(row["portability"]) == 2, row["id"]
        for hop in row["portability"]:
            assert set(hop) == {"question", "accept"}, row["id"]
            assert _is_text(hop["question"])
            assert hop["accept"] and all(_is_text(a) for a in hop["accept"])


def test_invented_kinds_are_even():
    lessons = _lessons()
    counts = Counter(row["kind"] for row in lessons)
    assert set(counts) == KINDS
    assert max(counts.values()) - min(counts.values()) <= 1
    first = {row["kind"] for row in lessons[:16]}
    assert "instruction" not in first and len(first) >= 6


def test_invented_unique():
    lessons = _lessons()
    for key in ("id", "lesson", "question"):
        assert len({row[key].casefold() for row in lessons}) == 64, key
    asked = [
        q.casefold()
        for row in lessons
        for q in (
            [row["question"], *row["paraphrases"], *row["neighbours"], *row.get("same_subject", [])]
            + [hop["question"] for hop in row["portability"]]
        )
    ]
    assert not [q for q, n in Counter(asked).items() if n > 1]
    elsewhere = {p.casefold() for p in _list("replay_prompts.json") + _list("probes.json")}
    assert not elsewhere & set(asked)


def test_invented_answers():
    for row in _lessons():
        if row["kind"] != "instruction":
            for answer in row["accept"]:
                assert _has(row["lesson"], answer), (row["id"], answer)
        else:
            assert any(_has(row["lesson"], a) for a in row["accept"]), row["id"]
        for text in [row["question"], *row["paraphrases"]]:
            for answer in row["accept"]:
                assert not _has(text, answer), (row["id"], text, answer)
        for hop in row["portability"]:
            for answer in hop["accept"]:
                assert not _has(hop["question"], answer), (row["id"], hop, answer)


def test_invented_rewordings_differ():
    for row in _lessons():
        texts = [row["question"], *row["paraphrases"]]
        assert len({_norm(t) for t in texts}) == 4, row["id"]
        for other in row["neighbours"]:
            assert _norm(other) not in {_norm(t) for t in texts}, row["id"]


SUITES = {
    "everyday": 32, "everyday-held": 32, "everyday-new": 32, "languages": 44, "languages-new": 30, "real-subjects": 32,
}  # fmt: skip


@pytest.mark.parametrize("name", SUITES)
def test_the_other_suites_can_be_scored(name):
    lines = (ASSETS / "suites" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    assert len(items) == SUITES[name] == len({item["id"] for item in items}) == len({item["lesson"] for item in items})
    for item in items:
        assert all(_is_text(item[key]) for key in ("lesson", "question")) and len(item["paraphrases"]) >= 2
        assert item["accept"] and not says(item["question"], item["accept"]), item["id"]
        assert len(item.get("same_subject", [])) + len(item.get("survive", [])) >= 1, item["id"]
        for pair in (*item.get("portability", []), *item.get("survive", [])):
            assert _is_text(pair["question"]) and pair["accept"] and all(map(_is_text, pair["accept"])), item["id"]


def test_the_languages_are_eleven_and_three_of_them_write_no_capitals():
    lines = (ASSETS / "suites" / "languages.jsonl").read_text(encoding="utf-8").splitlines()
    counts = Counter(json.loads(line)["lang"] for line in lines)
    assert set(counts.values()) == {4} and len(counts) == 11 and {"zh", "ja", "ar", "ko"} <= counts.keys()


def test_conversations_name_lessons_that_the_project_ships_and_their_patterns_compile():
    talks = [json.loads(line) for line in (ASSETS / "suites" / "conversations.jsonl").read_text("utf-8").splitlines()]
    lessons = (ASSETS / "suites" / "conversation-lessons.jsonl").read_text(encoding="utf-8").splitlines()
    known = {json.loads(line)["id"] for line in lessons}
    assert len(talks) == 64 == len({talk["id"] for talk in talks})
    for talk in talks:
        assert set(talk["taught"]) <= known and talk["messages"][-1]["role"] == "user", talk["id"]
        assert [re.compile(pattern) for pattern in (*talk["must"], *talk["never"])], talk["id"]
