"""How lessons stand: the newest report card about each counts."""

from qfcore.standing import Asked, Standing, curve_of, standings, status_of


def report(*answers: tuple[str, bool], same: int = 9) -> dict:
    """A report card with these answers and ten probes."""
    return {
        "answers": [{"lesson": lesson, "question": "Q?", "after": "A", "ok": ok} for lesson, ok in answers],
        "probes": [{"same": number < same} for number in range(10)], "lessons": len(answers),
    }  # fmt: skip


def test_the_newest_report_about_a_lesson_counts() -> None:
    reports = [(3, report(("b", True))), (2, report(("a", True), ("a", False), ("b", False))), (1, report(("a", True)))]
    found = standings(["a", "b", "c"], reports)
    assert (found["a"].status, found["a"].version, len(found["a"].asked)) == ("weak", 2, 2)
    assert (found["b"].status, found["b"].version) == ("learned", 3)
    assert found["c"] == Standing("unchecked")


def test_the_first_question_decides_between_weak_and_failed() -> None:
    yes, no = Asked("Q?", "A", True), Asked("Q?", "B", False)
    assert [status_of(x) for x in ([], [yes], [yes, no], [no, yes])] == ["unchecked", "learned", "weak", "failed"]


def test_the_curve_runs_from_the_oldest_report() -> None:
    points = curve_of([(5, report(("a", True), ("b", False), same=10)), (2, {"answers": [], "probes": []})])
    assert [(p.version, p.lessons, p.recall, p.locality) for p in points] == [(2, 0, None, None), (5, 2, 0.5, 1.0)]
