"""Report cards, proposals, lessons and how they stand."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from app import words
from app.present.common import PAGE, and_more, buttons, chip, count, escape, marked, note, paged, short, table
from app.visible import visible
from qfcore.bulk import LessonState, Plan
from qfcore.engine import Proposal
from qfcore.evaluate import AskedQuestion, ProbeResult, Report
from qfcore.standing import LEARNED, Standing, standings_in, worst_of
from qfcore.store.records import LessonRecord, Version

_ACTIONS = (("ask", words.ASK_NOW), ("again", words.AGAIN), ("forget", words.FORGET_IT), ("erase", words.ERASE_IT))
_CONFIRM = {"forget": words.FORGET_CONFIRM, "erase": words.ERASE_CONFIRM}
_TONES = {"learned": "qf-good", "failed": "qf-bad", "weak": "qf-bad"}
_SIGNS = {"learned": "✓", "weak": "~", "failed": "✗", "unchecked": "?"}
DRIFT_BOUND = 0.5
"""Share of the neighbours' words that may change before the report card warns."""
ASKED_SHOWN = 4
"""Questions about a lesson that the report card shows at once."""


def report_card(report: Report, replaced: Sequence[LessonRecord] = ()) -> str:
    """The report card of a preview."""
    status = report.status
    kept = sum(probe.same for probe in report.probes)
    parts = [
        f'<div class="qf-card"><div class="qf-verdict {_TONES.get(status, "qf-quiet")}">'
        f'<span aria-hidden="true">{_SIGNS[status]}</span> {escape(words.VERDICT[status])}</div>',
        _replaced(replaced),
        _steadiness(report),
        _asked(report.answers),
        _changes(report.others, words.ABOUT_SUBJECT),
        _neighbours(report),
        f"<p>{escape(words.UNCHANGED.format(kept=kept, of=len(report.probes)))}</p>",
        _changes([probe for probe in report.probes if not probe.same], words.ABOUT_OTHERS),
    ]
    figures = words.REPORT_FIGURES.format(
        norm=report.change, rank=report.rank, lessons=count(report.lessons), seconds=sum(report.seconds.values())
    )
    return "".join([*parts, f'<p class="qf-quiet">{escape(figures)}</p></div>'])


def _replaced(records: Sequence[LessonRecord]) -> str:
    return f"<p>{escape(words.REPLACES)}: <del>{escape(_named(records))}</del></p>" if records else ""


def _steadiness(report: Report) -> str:
    """Whether the model repeats itself with the lessons, or would have."""
    if report.loops:
        return note(report.loops[0].text)
    return f"<p>{escape(report.softened_text)}</p>" if report.softened else ""


def _asked(answers: Sequence[AskedQuestion]) -> str:
    """The first questions and whatever was not answered as taught; the others behind a click."""
    shown = [asked for number, asked in enumerate(answers) if number < ASKED_SHOWN or not asked.ok]
    folded = [asked for asked in answers[ASKED_SHOWN:] if asked.ok]
    if len(folded) < 2:
        shown, folded = list(answers), []
    drawn = table(words.COLUMNS_ASKED, map(_asked_row, shown), words.ABOUT_LESSON)
    if folded:
        summary = escape(words.MORE_ASKED.format(number=len(folded)))
        rows = table(words.COLUMNS_ASKED, map(_asked_row, folded))
        drawn += f"<details><summary>{summary}</summary>{rows}</details>"
    return drawn


def _asked_row(asked: AskedQuestion) -> str:
    return (
        f'<tr><td><span class="{"qf-good" if asked.ok else "qf-bad"}">{"✓" if asked.ok else "✗"}</span> '
        f"{escape(asked.question)}</td><td>{escape(asked.before)}</td><td><strong>{escape(asked.after)}</strong></td></tr>"
    )


def _neighbours(report: Report) -> str:
    if not report.neighbours:
        return ""
    warning = note(words.NEIGHBOURS_CHANGED.format(share=f"{report.drift:.0%}")) if report.drift > DRIFT_BOUND else ""
    return _changes(report.neighbours, words.ABOUT_NEIGHBOURS) + warning


def _changes(probes: Sequence[ProbeResult], caption: str) -> str:
    """Answers before and after, the words that differ marked."""
    if not probes:
        return ""
    rows = []
    for probe in probes:
        before, after = marked(probe.before, probe.after)
        now = f'<span class="qf-quiet">{escape(words.SAME_ANSWER)}</span>' if probe.same else after
        rows.append(f"<tr><td>{escape(probe.question)}</td><td>{before}</td><td>{now}</td></tr>")
    return table(words.COLUMNS_ASKED, rows, caption)


def doubt(status: str, method: str) -> str:
    """What to do about a lesson that did not stick; empty for one that did."""
    text = words.DOUBT[status]
    return note(text + (words.THOROUGH_HINT if method == "fast" else "")) if text else ""


def last_change(version: Version, report: Mapping | None) -> str:
    """The chip of a version: what made it, from the history; empty for the base. report: its report card."""
    if version.kind in ("teach", "replace") and report:
        taught = {answer["lesson"] for answer in report.get("answers", ())}
        found = standings_in(version.number, report)
        status = words.CHIP_STATUS[worst_of(found[lesson_id].status for lesson_id in taught if lesson_id in found)]
        return chip(words.CHIP.format(status=status, number=version.number, what=short(version.message)), undo=True)
    if version.kind == "undo":
        return chip(words.UNDONE.format(number=version.number))
    if version.parent is None or version.kind == "erase":
        return ""
    kind = words.KIND.get(version.kind, version.kind)
    return chip(words.CHIP_KIND.format(kind=kind, number=version.number, what=short(version.message)), undo=True)


def said_html(said: str) -> str:
    """What the model said that is to be corrected."""
    return f'<p class="qf-said"><strong>{escape(words.SAYS_TODAY)}</strong> {escape(said)}</p>' if said else ""


def proposal_rows(proposed: list[Proposal]) -> list[list]:
    """Rows of the table of proposed lessons."""
    return [
        [True, p.lesson.text, p.lesson.question, visible(p.says_today), _named(p.conflicts)]
        for p in proposed
    ]


def _named(records: Sequence[LessonRecord]) -> str:
    return "; ".join(f"{r.number}. {r.lesson.text}" for r in records)


def plan_html(found: Plan, method: str) -> str:
    """What teaching a file would do."""
    text = words.PLAN.format(
        new=len(found.new), resumed=len(found.resumed), live=len(found.live),
        minutes=max(1, round(found.seconds(method) / 60)),
    )  # fmt: skip
    conflicts = "".join(
        f"<li>{escape(lesson.text)} ↔ {escape(_named(records))}</li>"
        for lesson, records in found.conflicts
    )
    if conflicts:
        conflicts = f'<p>{escape(words.CONTRADICTIONS)}</p><ul class="qf-lessons">{conflicts}</ul>'
    return note(text) + conflicts


def states_html(found: Sequence[LessonState], of: int, report: Report | None = None, *, again: bool = False) -> str:
    """What became of each lesson of a file so far, the latest first.

    report: when all are studied; then how each one stands, with the evidence, and what did not stick first. again: it can
    be taught once more.
    """
    standings = report.standings if report else {}

    def state(s: LessonState) -> str:
        if s.lesson.id in standings and not s.refused:
            return _standing(standings[s.lesson.id], opened=False)
        text = f"{words.STATE[s.state]} {s.detail}"
        return f'<span class="{"qf-bad" if s.refused else "qf-good"}">{escape(text)}</span>'

    def stuck(s: LessonState) -> bool:
        return s.lesson.id in standings and standings[s.lesson.id].status == LEARNED

    rows = (
        f"<tr><td>{s.position + 1}</td><td>{escape(s.lesson.text)}</td><td>{state(s)}</td></tr>"
        for s in sorted(reversed(found), key=stuck)
    )
    told = f"<p role='status'>{escape(words.STUDIED.format(done=len(found), of=of))}</p>" + _counts(standings.values())
    mark = " data-again" if again else ""
    return f'{told}<div class="qf-scroll"{mark} tabindex="0">{table(words.STATE_COLUMNS, rows)}</div>'


def lessons_table(
    rows: Sequence[tuple[LessonRecord, Standing, int]], searched: bool, opened: str = "", pages: int = 1
) -> str:
    """The live lessons with how they stand, the evidence, and their buttons. opened: id of the one just asked about."""
    if not rows:
        return f'<p class="qf-quiet">{escape(words.LESSONS_NOT_FOUND if searched else words.LESSONS_NONE)}</p>'
    cells = []
    for record, standing, version in rows[: pages * PAGE]:
        source = record.lesson.source.removeprefix("file:")
        by = "" if source == "user" else f" · {source}"
        taught = words.LESSON_FROM.format(number=version, date=record.created_at[:10])
        cells.append(
            f"<tr><td>{record.number}</td><td><strong>{escape(record.lesson.text)}</strong>"
            f'<br><span class="qf-quiet">{escape(taught + by)}</span></td>'
            f"<td>{_standing(standing, record.id == opened)}</td>"
            f"<td>{buttons(short(record.lesson.text), 'lesson', record.id, _ACTIONS, _CONFIRM)}</td></tr>"
        )
    return paged(table(words.LESSON_COLUMNS, cells), len(rows), pages)


def _standing(standing: Standing, opened: bool) -> str:
    head = f'<span class="{_TONES.get(standing.status, "qf-quiet")}">{escape(words.STANDING[standing.status])}</span>'
    if not standing.asked:
        return head
    when = "" if standing.version is None else words.EVIDENCE_REPORT.format(number=standing.version)
    if standing.asked_at:
        when = words.EVIDENCE_ASKED.format(at=standing.asked_at[:16].replace("T", " "))
    evidence = "".join(
        f'<li><span class="{"qf-good" if a.ok else "qf-bad"}">{"✓" if a.ok else "✗"}</span> {escape(a.question)}<br>'
        f"→ {escape(a.said)}</li>"
        for a in standing.asked
    )
    good = sum(a.ok for a in standing.asked)
    return (
        f"<details{' open' if opened else ''}><summary>{head} {good}/{len(standing.asked)}</summary>"
        f'<ul class="qf-lessons">{evidence}</ul><span class="qf-quiet">{escape(when)}</span></details>'
    )


def standings_summary(rows: Sequence[tuple[LessonRecord, Standing, int]], *, again: bool = False) -> str:
    """How many lessons stand how. again: some can be taught once more, thoroughly."""
    mark = "<span data-again></span>" if again else ""
    return _counts([standing for _, standing, _ in rows]) + mark


def _counts(standings: Collection[Standing]) -> str:
    counts = Counter(standing.status for standing in standings)
    if not counts:
        return ""
    parts = (
        f'<span class="{_TONES.get(status, "qf-quiet")}">{counts[status]} {escape(label)}</span>'
        for status, label in words.STANDING.items() if counts[status]
    )  # fmt: skip
    return f'<p role="status">{words.SUMMARY.format(lessons=count(len(standings)), parts=", ".join(parts))}</p>'


def doubts(rows: Sequence[tuple[LessonRecord, Standing, int]]) -> str:
    """What the sidebar says of lessons that did not stick; empty when all did."""
    counts = Counter(standing.status for _, standing, _ in rows)
    parts = ", ".join(f"{counts[status]} {words.STANDING[status]}" for status in ("weak", "failed") if counts[status])
    return f'<p class="qf-doubts qf-bad">{escape(words.DOUBTS.format(parts=parts))}</p>' if parts else ""


def conflict_choices(records: Sequence[LessonRecord]) -> list[tuple[str, str]]:
    """Contradicted lessons as (label, id)."""
    return [
        (words.CONFLICT_CHOICE.format(number=r.number, date=r.created_at[:10], text=short(r.lesson.text)), r.id)
        for r in records
    ]


def lesson_list(records: list[LessonRecord]) -> str:
    """What a version knows."""
    if not records:
        return f'<p class="qf-quiet">{escape(words.KNOWS_NOTHING)}</p>'
    items = "".join(
        f"<li><strong>{escape(r.lesson.text)}</strong><br>"
        f'<span class="qf-quiet">{escape(" · ".join(p.question for p in r.phrasings))}</span></li>'
        for r in records[:PAGE]
    )
    return f'<ul class="qf-lessons">{items}</ul>' + and_more(len(records))
