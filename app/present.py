"""Records as what the window shows: Markdown, rows and HTML. Pure functions; all text of users and models is escaped."""

from collections.abc import Sequence
from html import escape as html_escape

from app import words
from app.visible import visible
from qfcore.evaluate import Report
from qfcore.runtime.protocol import AnswerStats
from qfcore.store.records import Chat, LessonRecord, Message, Version

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


def timeline(versions: list[Version], live: int, counts: dict[int, tuple[int, int]]) -> str:
    """Versions, newest first; counts: version → lessons added and removed."""
    rows = []
    for version in versions:
        added, removed = counts.get(version.number, (0, 0))
        change = " ".join(filter(None, (f"+{added}" if added else "", f"−{removed}" if removed else "")))
        mark = ' <span class="qf-pill">Live</span>' if version.number == live else ""
        rows.append(
            f'<li class="{"qf-now" if version.number == live else ""}"><div><strong>Version {version.number}</strong>{mark} '
            f'<span class="qf-kind">{escape(words.KIND.get(version.kind, version.kind))}</span> '
            f'<span class="qf-quiet">{version.created_at[:16].replace("T", " ")} UTC · {len(version.entries)} '
            f'lesson{"" if len(version.entries) == 1 else "s"} {change}</span></div>'
            f"<div>{escape(version.message)}</div></li>"
        )
    return f'<ol class="qf-timeline">{"".join(rows)}</ol>'


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
