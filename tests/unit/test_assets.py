"""The data files in assets/: counts, keys, uniqueness and internal consistency."""

import json
import re
from collections import Counter
from pathlib import Path

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
            [row["question"], *row["paraphrases"], *row["neighbours"]] + [hop["question"] for hop in row["portability"]]
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
