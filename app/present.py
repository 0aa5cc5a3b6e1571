"""Records as what the window shows: Markdown, rows and HTML. Pure functions; all text of users and models is escaped."""

from collections.abc import Sequence
from html import escape as html_escape

from app import words
from app.desk import Proposed
from app.visible import visible
from qfcore.bulk import LessonState, Plan
from qfcore.compare import Comparison
from qfcore.evaluate import Report
from qfcore.runtime.protocol import AnswerStats
from qfcore.standing import Standing
from qfcore.store.records import Chat, LessonRecord, Message, NamedVersion, Version, VersionDiff

LESSONS_SHOWN = 5
"""Active lessons named in the meter; the rest are dots."""


def escape(text: str) -> str:
    """Text as HTML, hidden characters shown."""
    return html_escape(visible(text))


def badge(status: dict) -> str:
    """Model and live version, for the sidebar."""
    lessons = status["lessons"]
    return (
        f'<div class="qf-badge"><strong>{escape(status["model"])}</strong><br>'
        f'<span class="qf-live">version {status["version"]}</span> knows {lessons} lesson{"" if lessons == 1 else "s"}'
        f'<br><span class="qf-quiet">{status["memory_bytes"] / 1e9:.1f} GB memory · private, on this computer</span></div>'
    )


def chat_choices(chats: list[Chat]) -> list[tuple[str, int]]:
    """Conversations as (title, id)."""
    return [(visible(chat.title) or words.UNTITLED, chat.id) for chat in chats]


def chat_messages(path: list[Message]) -> list[dict]:
    """A branch in the form of Gradio's Chatbot."""
    return [{"role": m.role, "content": visible(m.content)} for m in path if m.role != "system"]


def last_stats(path: list[Message]) -> dict | None:
    """Figures of the last answer shown."""
    return next((m.stats for m in reversed(path) if m.stats), None)


def title_from(text: str) -> str:
    """A conversation's first title."""
    line = " ".join(text.split())
    return line if len(line) <= 48 else line[:47] + "…"


def meter(stats: AnswerStats | dict | None) -> str:
    """What the last answer cost, and how full the context is."""
    if not stats:
        return '<div class="qf-meter">Taught knowledge costs 0 prompt tokens.</div>'
    value = stats if isinstance(stats, dict) else vars(stats)
    share = value["context_tokens"] / value["context_size"]
    return (
        f'<div class="qf-meter"><span class="qf-live">version {value["version"]}</span> · '
        f'{value["generated_tokens"]} tokens · {value["tokens_per_s"]:.1f} tokens/s · '
        f'first token {value["first_token_s"]:.1f} s · {_active(value.get("lessons"))}: 0 tokens'
        f'<span class="qf-bar" role="img" aria-label="Context {share:.0%} full">'
        f'<i style="width:{min(share, 1) * 100:.0f}%"></i></span>'
        f'{value["context_tokens"]:,} / {value["context_size"]:,}</div>'
    )


def _active(lessons: Sequence[int] | None) -> str:
    """Which lessons were active in an answer."""
    if not lessons:
        return "taught knowledge"
    shown = ", ".join(map(str, lessons[:LESSONS_SHOWN])) + (", …" if len(lessons) > LESSONS_SHOWN else "")
    return f'<span class="qf-live">{"lesson" if len(lessons) == 1 else "lessons"} {shown} active</span>'


def report_card(report: Report) -> str:
    """The report card of a preview."""
    good = report.learned
    head = "Learned" if good else "Not learned yet"
    changed = [probe for probe in report.probes if not probe.same]
    kept = len(report.probes) - len(changed)
    parts = [
        f'<div class="qf-card"><div class="qf-verdict {"qf-good" if good else "qf-bad"}">'
        f'<span aria-hidden="true">{"✓" if good else "✗"}</span> {head}</div>',
        '<table class="qf-table"><caption>Questions about the lesson</caption>'
        "<thead><tr><th>Question</th><th>Before</th><th>Now</th></tr></thead><tbody>",
    ]
    for asked in report.answers:
        mark = "✓" if asked.ok else "✗"
        parts.append(
            f'<tr><td><span class="{"qf-good" if asked.ok else "qf-bad"}">{mark}</span> {escape(asked.question)}</td>'
            f"<td>{escape(asked.before)}</td><td><strong>{escape(asked.after)}</strong></td></tr>"
        )
    parts.append(f"</tbody></table><p>Unrelated questions unchanged: <strong>{kept} of {len(report.probes)}</strong></p>")
    if changed:
        parts.append(
            '<table class="qf-table"><caption>What else changed</caption>'
            "<thead><tr><th>Question</th><th>Before</th><th>Now</th></tr></thead><tbody>"
        )
        parts += [
            f"<tr><td>{escape(p.question)}</td><td>{escape(p.before)}</td><td>{escape(p.after)}</td></tr>" for p in changed
        ]
        parts.append("</tbody></table>")
    seconds = sum(report.seconds.values())
    parts.append(
        f'<p class="qf-quiet">Change of the weights: norm {report.change:.2f}, rank {report.rank} · '
        f"{report.lessons} lesson{'' if report.lessons == 1 else 's'} in this version · {seconds:.1f} s</p></div>"
    )
    return "".join(parts)


def chip(text: str) -> str:
    """A short confirmation."""
    return f'<div class="qf-chip" role="status">{escape(text)}</div>' if text else ""


def note(text: str) -> str:
    """A sentence below a form."""
    return f'<p class="qf-note" role="status">{escape(text)}</p>'


def progress_note(text: str) -> str:
    """Progress that screen readers do not read out at each step."""
    return f'<p class="qf-note">{escape(text)}</p>'


def timeline(versions: list[Version], live: int, counts: dict[int, tuple[int, int]], names: list[NamedVersion]) -> str:
    """Versions, newest first; counts: version → lessons added and removed. A click on one chooses it."""
    rows = []
    for version in versions:
        added, removed = counts.get(version.number, (0, 0))
        change = " ".join(filter(None, (f"+{added}" if added else "", f"−{removed}" if removed else "")))
        mark = f' <span class="qf-pill">{escape(words.LIVE_PILL)}</span>' if version.number == live else ""
        mark += "".join(
            f' <span class="qf-name{" qf-here" if n.current else ""}">{escape(n.name)}</span>'
            for n in names if n.version == version.number
        )  # fmt: skip
        rows.append(
            f'<li class="{"qf-now" if version.number == live else ""}"><div>'
            f'<button class="qf-link" data-action="choose" data-version="{version.number}">Version {version.number}</button>'
            f"{mark} "
            f'<span class="qf-kind">{escape(words.KIND.get(version.kind, version.kind))}</span> '
            f'<span class="qf-quiet">{version.created_at[:16].replace("T", " ")} UTC · '
            f"{_count(len(version.entries))} {change}</span></div><div>{escape(version.message)}</div></li>"
        )
    return f'<ol class="qf-timeline">{"".join(rows)}</ol>'


def _count(lessons: int) -> str:
    return f"{lessons} lesson{'' if lessons == 1 else 's'}"


def lesson_counts(versions: list[Version]) -> dict[int, tuple[int, int]]:
    """For each version, lessons added and removed against its parent."""
    sets = {v.number: set(v.lesson_ids) for v in versions}
    return {
        v.number: (len(sets[v.number] - sets[v.parent]), len(sets[v.parent] - sets[v.number]))
        for v in versions
        if v.parent in sets
    }


def version_choices(versions: list[Version], live: int) -> list[tuple[str, int]]:
    """Versions as (label, number)."""
    return [(f"{v.number}{' (live)' if v.number == live else ''} · {_short(v.message)}", v.number) for v in versions]


def chat_marks(path: list[Message]) -> str:
    """Style that names the version below each answer. It is drawn by CSS, so that copying an answer copies the answer."""
    shown = [m for m in path if m.role != "system"]
    rules = [
        f'#chat-messages .message-wrap > :nth-child({position} of .message-row) .message-content::after{{content:"version {m.version}"}}'
        for position, m in enumerate(shown, start=1)
        if m.role == "assistant" and m.version is not None
    ]
    return f"<style>{''.join(rules)}</style>" if rules else ""


def proposal_rows(proposed: list[Proposed]) -> list[list]:
    """Rows of the table of proposed lessons."""
    return [
        [True, p.text, p.question, visible(p.says_today), "; ".join(f"{r.number}. {r.lesson.text}" for r in p.contradicts)]
        for p in proposed
    ]


def plan(found: Plan, method: str) -> str:
    """What teaching a file would do."""
    minutes = max(1, round(found.seconds(method) / 60))
    text = (
        f"{len(found.new)} new, {len(found.resumed)} studied before, {len(found.live)} known already; "
        f"about {minutes} min."
    )
    conflicts = "".join(
        f"<li>{escape(lesson.text)} ↔ {escape('; '.join(f'{r.number}. {r.lesson.text}' for r in records))}</li>"
        for lesson, records in found.conflicts
    )
    if conflicts:
        conflicts = f'<p>{escape(words.CONTRADICTIONS)}</p><ul class="qf-lessons">{conflicts}</ul>'
    return note(text) + conflicts


def states(found: list[LessonState], of: int) -> str:
    """What became of each lesson of a file so far, the latest first."""
    rows = "".join(
        f"<tr><td>{s.position + 1}</td><td>{escape(s.lesson.text)}</td>"
        f'<td class="{"qf-bad" if s.refused else "qf-good"}">{escape(words.STATE[s.state])} {escape(s.detail)}</td></tr>'
        for s in reversed(found)
    )
    return (
        f'<p role="status">{len(found)} of {of}</p><div class="qf-scroll"><table class="qf-table"><thead><tr><th>#</th>'
        f"<th>Lesson</th><th>State</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def lessons_table(
    rows: list[tuple[LessonRecord, Standing, Version]], fresh: dict[str, Standing], searched: bool
) -> str:
    """The live lessons with how they stand, the evidence, and their buttons. fresh: what was asked just now."""
    if not rows:
        return f'<p class="qf-quiet">{escape(words.LESSONS_NOT_FOUND if searched else words.LESSONS_NONE)}</p>'
    cells = []
    for record, noted, version in rows:
        standing = fresh.get(record.id, noted)
        source = record.lesson.source.removeprefix("file:")
        by = "" if source == "user" else f" · {source}"
        buttons = "".join(
            f'<button class="qf-button" data-action="{action}" data-lesson="{record.id}" '
            f'aria-label="{escape(label)}: {escape(_short(record.lesson.text))}">{escape(label)}</button>'
            for action, label in (
                ("ask", words.ASK_NOW), ("again", words.AGAIN), ("forget", words.FORGET_IT), ("erase", words.ERASE_IT)
            )
        )
        cells.append(
            f"<tr><td>{record.number}</td><td><strong>{escape(record.lesson.text)}</strong>"
            f'<br><span class="qf-quiet">version {version.number}, {record.created_at[:10]}{escape(by)}</span></td>'
            f"<td>{_standing(standing)}</td><td><div class='qf-buttons'>{buttons}</div></td></tr>"
        )
    return (
        '<table class="qf-table"><thead><tr><th>#</th><th>Lesson</th><th>Stands</th><th>Do</th></tr></thead>'
        f"<tbody>{''.join(cells)}</tbody></table>"
    )


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


def name_list(names: list[NamedVersion]) -> str:
    """Branches and tags with their buttons."""
    if not names:
        return f'<p class="qf-quiet">{escape(words.NO_NAMES)}</p>'
    rows = []
    for n in names:
        buttons = [("switch", words.SWITCH_TO)] if n.kind == "branch" and not n.current else []
        buttons += [] if n.current else [("delete", words.DELETE_NAME)]
        drawn = "".join(
            f'<button class="qf-button" data-action="{action}" data-name="{escape(n.name)}" '
            f'aria-label="{escape(label)}: {escape(n.name)}">{escape(label)}</button>'
            for action, label in buttons
        )
        here = f" · {words.CURRENT}" if n.current else ""
        rows.append(
            f"<tr><td><strong>{escape(n.name)}</strong></td><td>{n.kind}{here}</td><td>version {n.version}</td>"
            f"<td><div class='qf-buttons'>{drawn}</div></td></tr>"
        )
    return f'<table class="qf-table"><tbody>{"".join(rows)}</tbody></table>'


def lessons_diff(diff: VersionDiff) -> str:
    """Lessons that one version knows and the other does not."""
    marks = (("+", "qf-good", diff.added), ("−", "qf-bad", diff.removed), ("~", "qf-quiet", diff.observed_again))
    rows = "".join(
        f'<li class="{tone}"><strong>{mark}</strong> {escape(r.lesson.text)}</li>'
        for mark, tone, records in marks for r in records
    )  # fmt: skip
    return f'<ul class="qf-diff">{rows}</ul>' if rows else f'<p class="qf-quiet">{escape(words.SAME_LESSONS)}</p>'


def answers_diff(comparison: Comparison) -> str:
    """What two versions say; differences are marked."""
    old, new = comparison.lessons.old.number, comparison.lessons.new.number
    rows = "".join(
        f'<tr class="{"" if a.same else "qf-changed"}"><td>{escape(a.question)}</td><td>{escape(a.old)}</td>'
        f"<td>{escape(a.new) if not a.same else '<span class=qf-quiet>the same</span>'}</td></tr>"
        for a in comparison.answers
    )
    same = sum(a.same for a in comparison.answers)
    return (
        f"<p>{same} of {len(comparison.answers)} answers are the same.</p>"
        f'<table class="qf-table"><thead><tr><th>Question</th><th>Version {old}</th><th>Version {new}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def weights_text(comparison: Comparison) -> str:
    """The change of the weights in one sentence."""
    weights = comparison.weights
    layers = ", ".join(f"layer {layer}" for layer in weights.layers) or "no layer"
    old, new = weights.ranks
    return note(words.WEIGHTS_TEXT.format(norm=weights.norm, layers=layers, old=old, new=new))


def lesson_choices(records: list[LessonRecord]) -> list[tuple[str, str]]:
    """Lessons as (label, id)."""
    return [(f"{r.number}. {_short(r.lesson.text)}", r.id) for r in records]


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


def _short(text: str) -> str:
    text = visible(text)
    return text if len(text) <= 70 else text[:69] + "…"
