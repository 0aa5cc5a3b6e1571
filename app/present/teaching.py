"""Report cards, proposals, lessons and how they stand."""

from collections.abc import Sequence

from app import words
from app.present.common import buttons, count, escape, note, short, table
from app.visible import visible
from qfcore.bulk import LessonState, Plan
from qfcore.engine import Proposal
from qfcore.evaluate import Report
from qfcore.standing import Standing
from qfcore.store.records import LessonRecord

_BEFORE_NOW = ("Question", "Before", "Now")
_ACTIONS = (("ask", words.ASK_NOW), ("again", words.AGAIN), ("forget", words.FORGET_IT), ("erase", words.ERASE_IT))


def report_card(report: Report) -> str:
    """The report card of a preview."""
    good = report.learned
    head = "Learned" if good else "Not learned yet"
    changed = [probe for probe in report.probes if not probe.same]
    kept = len(report.probes) - len(changed)
    answers = (
        f'<tr><td><span class="{"qf-good" if asked.ok else "qf-bad"}">{"✓" if asked.ok else "✗"}</span> '
        f"{escape(asked.question)}</td><td>{escape(asked.before)}</td><td><strong>{escape(asked.after)}</strong></td></tr>"
        for asked in report.answers
    )
    parts = [
        f'<div class="qf-card"><div class="qf-verdict {"qf-good" if good else "qf-bad"}">'
        f'<span aria-hidden="true">{"✓" if good else "✗"}</span> {head}</div>',
        table(_BEFORE_NOW, answers, "Questions about the lesson"),
        f"<p>Unrelated questions unchanged: <strong>{kept} of {len(report.probes)}</strong></p>",
    ]
    if changed:
        rows = (
            f"<tr><td>{escape(p.question)}</td><td>{escape(p.before)}</td><td>{escape(p.after)}</td></tr>" for p in changed
        )
        parts.append(table(_BEFORE_NOW, rows, "What else changed"))
    seconds = sum(report.seconds.values())
    parts.append(
        f'<p class="qf-quiet">Change of the weights: norm {report.change:.2f}, rank {report.rank} · '
        f"{count(report.lessons)} in this version · {seconds:.1f} s</p></div>"
    )
    return "".join(parts)


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
    minutes = max(1, round(found.seconds(method) / 60))
    text = (
        f"{len(found.new)} new, {len(found.resumed)} studied before, {len(found.live)} known already; "
        f"about {minutes} min."
    )
    conflicts = "".join(
        f"<li>{escape(lesson.text)} ↔ {escape(_named(records))}</li>"
        for lesson, records in found.conflicts
    )
    if conflicts:
        conflicts = f'<p>{escape(words.CONTRADICTIONS)}</p><ul class="qf-lessons">{conflicts}</ul>'
    return note(text) + conflicts


def states_html(found: list[LessonState], of: int) -> str:
    """What became of each lesson of a file so far, the latest first."""
    rows = (
        f"<tr><td>{s.position + 1}</td><td>{escape(s.lesson.text)}</td>"
        f'<td class="{"qf-bad" if s.refused else "qf-good"}">{escape(words.STATE[s.state])} {escape(s.detail)}</td></tr>'
        for s in reversed(found)
    )
    return f'<p role="status">{len(found)} of {of}</p><div class="qf-scroll">{table(("#", "Lesson", "State"), rows)}</div>'


def lessons_table(
    rows: list[tuple[LessonRecord, Standing, int]], fresh: dict[str, Standing], searched: bool
) -> str:
    """The live lessons with how they stand, the evidence, and their buttons. fresh: what was asked just now."""
    if not rows:
        return f'<p class="qf-quiet">{escape(words.LESSONS_NOT_FOUND if searched else words.LESSONS_NONE)}</p>'
    cells = []
    for record, noted, version in rows:
        standing = fresh.get(record.id, noted)
        source = record.lesson.source.removeprefix("file:")
        by = "" if source == "user" else f" · {source}"
        cells.append(
            f"<tr><td>{record.number}</td><td><strong>{escape(record.lesson.text)}</strong>"
            f'<br><span class="qf-quiet">version {version}, {record.created_at[:10]}{escape(by)}</span></td>'
            f"<td>{_standing(standing)}</td>"
            f"<td>{buttons(short(record.lesson.text), 'lesson', record.id, _ACTIONS)}</td></tr>"
        )
    return table(("#", "Lesson", "Stands", "Do"), cells)


def _standing(standing: Standing) -> str:
    tone = {"learned": "qf-good", "failed": "qf-bad", "weak": "qf-bad"}.get(standing.status, "qf-quiet")
    head = f'<span class="{tone}">{escape(words.STANDING[standing.status])}</span>'
    if not standing.asked:
        return head
    when = f"report card of version {standing.version}" if standing.version is not None else "asked just now"
    evidence = "".join(
        f'<li><span class="{"qf-good" if a.ok else "qf-bad"}">{"✓" if a.ok else "✗"}</span> {escape(a.question)}<br>'
        f"→ {escape(a.said)}</li>"
        for a in standing.asked
    )
    good = sum(a.ok for a in standing.asked)
    return (
        f"<details{' open' if standing.version is None else ''}><summary>{head} {good}/{len(standing.asked)}</summary>"
        f'<ul class="qf-lessons">{evidence}</ul><span class="qf-quiet">{when}</span></details>'
    )


def lesson_choices(records: list[LessonRecord]) -> list[tuple[str, str]]:
    """Lessons as (label, id)."""
    return [(f"{r.number}. {short(r.lesson.text)}", r.id) for r in records]


def lesson_list(records: list[LessonRecord]) -> str:
    """What a version knows."""
    if not records:
        return f'<p class="qf-quiet">{escape(words.KNOWS_NOTHING)}</p>'
    items = "".join(
        f"<li><strong>{escape(r.lesson.text)}</strong><br>"
        f'<span class="qf-quiet">{escape(" · ".join(p.question for p in r.phrasings))}</span></li>'
        for r in records
    )
    return f'<ul class="qf-lessons">{items}</ul>'
