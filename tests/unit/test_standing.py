"""How lessons stand: the newest answer about each counts, on the way to the version that is asked for."""

import pytest

from qfcore.evaluate import AskedQuestion, ProbeResult, Report, changed_share
from qfcore.standing import Asked, Standing, curve_of, standings, status_of, worst_of


def report(*answers: tuple[str, bool], same: int = 9, **checks: bool) -> dict:
    """A report card with these answers and ten probes; checks: lessons asked later."""
    return {
        "answers": [{"lesson": lesson, "question": "Q?", "after": "A", "ok": ok} for lesson, ok in answers],
        "probes": [{"same": number < same} for number in range(10)], "lessons": len(answers),
        "checks": {k: {"at": "2026-11-24", "asked": [{"question": "Q?", "said": "B", "ok": v}]} for k, v in checks.items()},
    }  # fmt: skip


def test_the_newest_report_about_a_lesson_counts() -> None:
    reports = [(3, report(("b", True))), (2, report(("a", True), ("a", False), ("b", False))), (1, report(("a", True)))]
    found = standings(["a", "b", "c"], reports)
    assert (found["a"].status, found["a"].version, len(found["a"].asked)) == ("weak", 2, 2)
    assert (found["b"].status, found["b"].version) == ("learned", 3)
    assert found["c"] == Standing("unchecked")


def test_what_was_asked_later_counts_more_than_the_report_card_of_its_version() -> None:
    found = standings(["a", "b"], [(2, report(("a", True), a=False)), (1, report(("b", False), b=True))])
    assert (found["a"].status, found["a"].asked[0].said, found["a"].asked_at) == ("failed", "B", "2026-11-24")
    assert found["b"].status == "learned"


def test_the_first_question_decides_between_weak_and_failed() -> None:
    yes, no = Asked("Q?", "A", True), Asked("Q?", "B", False)
    assert [status_of(x) for x in ([], [yes], [yes, no], [no, yes])] == ["unchecked", "learned", "weak", "failed"]
    assert [worst_of(x) for x in (["learned", "weak"], ["weak", "failed"], ["learned"], [])] == [
        "weak", "failed", "learned", "unchecked"
    ]  # fmt: skip


def test_the_curve_says_how_many_of_all_lessons_are_learned() -> None:
    versions = [(0, None, []), (1, 0, ["a"]), (2, 1, ["a", "b"]), (3, 2, ["b"]), (4, 1, ["a", "c"])]
    reports = {1: report(("a", True), same=10), 2: report(("b", True), ("b", False), same=5)}
    points = curve_of(versions, reports)
    assert [(p.version, p.learned, p.lessons, p.locality) for p in points] == [
        (1, 1, 1, 1.0), (2, 1, 2, 0.5), (3, 0, 1, None), (4, 1, 2, None)
    ]  # fmt: skip
    assert points[1].recall == 0.5


def _report(*answers: AskedQuestion, neighbours: tuple[ProbeResult, ...] = ()) -> Report:
    return Report(True, answers, (), 1.0, 1, 1, 1, neighbours=neighbours)


def test_a_report_is_as_good_as_its_worst_lesson() -> None:
    def asked(lesson: str, ok: bool) -> AskedQuestion:
        return AskedQuestion("Q?", "A", "", "A", ok, lesson)

    found = _report(asked("a", True), asked("a", False), asked("b", True))
    assert found.statuses == {"a": "weak", "b": "learned"} and found.status == "weak"
    assert _report(asked("a", False), asked("a", True)).status == "failed"


def test_drift_is_the_share_of_the_neighbours_words_that_changed() -> None:
    assert changed_share("one two", "one two") == 0 and changed_share("one two", "three") == 1
    same, other = ProbeResult("Q?", "one two", "one two", True), ProbeResult("Q?", "one two", "one three", False)
    assert _report(neighbours=(same, other)).drift == pytest.approx(0.25)
    assert _report().drift == 0
