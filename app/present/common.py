"""What all parts of the window share."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from html import escape as html_escape

from app import words
from app.visible import visible


def escape(text: str) -> str:
    """Text as HTML, hidden characters shown."""
    return html_escape(visible(text))


def chip(text: str, *, undo: bool = False) -> str:
    """A short confirmation. undo: the button beside it takes it back."""
    return f'<div class="qf-chip" role="status"{" data-undo" if undo else ""}>{escape(text)}</div>' if text else ""


def note(text: str) -> str:
    """A sentence below a form."""
    return f'<p class="qf-note" role="status">{escape(text)}</p>'


def table(headers: Sequence[str], rows: Iterable[str], caption: str = "") -> str:
    """A table. headers and caption: plain words of ours; rows: HTML of whole rows."""
    title = f"<caption>{caption}</caption>" if caption else ""
    head = f"<thead><tr>{''.join(f'<th>{name}</th>' for name in headers)}</tr></thead>" if headers else ""
    return f'<table class="qf-table">{title}{head}<tbody>{"".join(rows)}</tbody></table>'


def buttons(
    subject: str, kind: str, key: str, actions: Iterable[tuple[str, str]], confirm: Mapping[str, str] | None = None
) -> str:
    """Buttons that act on one thing: what it is called, `data-kind="key"` for the handler; actions: (name, label).

    confirm: questions to which a person must say yes first, by action.
    """
    drawn = "".join(
        f'<button class="qf-button" data-action="{action}" data-{kind}="{escape(key)}"{_asking(confirm, action)} '
        f'aria-label="{escape(label)}: {escape(subject)}">{escape(label)}</button>'
        for action, label in actions
    )
    return f"<div class='qf-buttons'>{drawn}</div>"


def _asking(confirm: Mapping[str, str] | None, action: str) -> str:
    return f' data-confirm="{escape(confirm[action])}"' if confirm and action in confirm else ""


def count(lessons: int) -> str:
    """A number of lessons in words."""
    return (words.ONE_LESSON if lessons == 1 else words.LESSONS).format(n=lessons)


def marked(before: str, after: str) -> tuple[str, str]:
    """Two answers as HTML, the words that differ marked: struck through in the first, underlined in the second."""
    old, new = before.split(), after.split()
    left, right = [], []
    for kind, i, j, k, n in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for side, piece, tag in ((left, old[i:j], "del"), (right, new[k:n], "ins")):
            if piece:
                text = escape(" ".join(piece))
                side.append(text if kind == "equal" else f"<{tag}>{text}</{tag}>")
    return " ".join(left), " ".join(right)


def progress_bar(fraction: float, text: str) -> str:
    """How far work is. Screen readers can ask for it; it is not read out at each step."""
    return (
        f'<div class="qf-progress"><progress max="1" value="{min(max(fraction, 0.0), 1.0):.3f}" aria-label="{escape(text)}">'
        f"</progress> {fraction:.0%} {escape(text)}</div>"
    )


PAGE = 100
"""Rows of a long list that are drawn at first, and with each press of "Show more"."""


def paged(html: str, total: int, pages: int) -> str:
    """A list of which so many pages are drawn; the style shows the button for more only where there is more."""
    return f"<div data-more>{html}</div>" if total > pages * PAGE else html


def and_more(total: int) -> str:
    """What stands below a list of which the first page is drawn; empty when that is all."""
    return f'<p class="qf-quiet">{escape(words.AND_MORE_ROWS.format(more=total - PAGE))}</p>' if total > PAGE else ""


def more_text(total: int, pages: int) -> str:
    """What the button for more says."""
    return words.SHOW_MORE.format(shown=min(total, pages * PAGE), total=total)


def short(text: str, longest: int = 70) -> str:
    """The beginning of a text, hidden characters shown."""
    text = visible(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
