"""What all parts of the window share."""

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


def count(lessons: int) -> str:
    """A number of lessons in words."""
    return f"{lessons} lesson{'' if lessons == 1 else 's'}"


def short(text: str) -> str:
    """The beginning of a text, hidden characters shown."""
    text = visible(text)
    return text if len(text) <= 70 else text[:69] + "…"
