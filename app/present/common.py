"""What all parts of the window share."""

from collections.abc import Iterable, Sequence
from html import escape as html_escape

from app.visible import visible


def escape(text: str) -> str:
    """Text as HTML, hidden characters shown."""
    return html_escape(visible(text))


def chip(text: str) -> str:
    """A short confirmation."""
    return f'<div class="qf-chip" role="status">{escape(text)}</div>' if text else ""


def note(text: str) -> str:
    """A sentence below a form."""
    return f'<p class="qf-note" role="status">{escape(text)}</p>'


def progress_note(text: str) -> str:
    """Progress that screen readers do not read out at each step."""
    return f'<p class="qf-note">{escape(text)}</p>'


def table(headers: Sequence[str], rows: Iterable[str], caption: str = "") -> str:
    """A table. headers and caption: plain words of ours; rows: HTML of whole rows."""
    title = f"<caption>{caption}</caption>" if caption else ""
    head = f"<thead><tr>{''.join(f'<th>{name}</th>' for name in headers)}</tr></thead>" if headers else ""
    return f'<table class="qf-table">{title}{head}<tbody>{"".join(rows)}</tbody></table>'


def buttons(subject: str, kind: str, key: str, actions: Iterable[tuple[str, str]]) -> str:
    """Buttons that act on one thing: what it is called, `data-kind="key"` for the handler; actions: (name, label)."""
    drawn = "".join(
        f'<button class="qf-button" data-action="{action}" data-{kind}="{escape(key)}" '
        f'aria-label="{escape(label)}: {escape(subject)}">{escape(label)}</button>'
        for action, label in actions
    )
    return f"<div class='qf-buttons'>{drawn}</div>"


def count(lessons: int) -> str:
    """A number of lessons in words."""
    return f"{lessons} lesson{'' if lessons == 1 else 's'}"


def short(text: str) -> str:
    """The beginning of a text, hidden characters shown."""
    text = visible(text)
    return text if len(text) <= 70 else text[:69] + "…"
