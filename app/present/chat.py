"""Conversations and the badge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app import words
from app.present.common import count, escape, short
from app.visible import visible
from qfcore.runtime.protocol import AnswerStats
from qfcore.runtime.thoughts import split_thoughts
from qfcore.store.records import Chat, Message

if TYPE_CHECKING:
    from app.session import Fork

LESSONS_SHOWN = 5
"""Active lessons named in the meter; the rest are dots."""
MARKED = 60
"""Messages of a conversation up to which each answer names its version."""

FORK_SHOWN = 32
"""Characters of a message that tell which one has alternatives."""

SHOWN, STEP = 60, 20
"""Messages of a conversation that are drawn at first; the first one drawn moves on by STEP. A browser that draws hundreds
of them again for each piece of an answer leaves no time for typing."""


def first_shown(path: Sequence[Message], earlier: int = 0) -> int:
    """Position of the first message of a branch that is drawn. earlier: how often SHOWN more were asked for."""
    return max(0, (len(path) - SHOWN * (1 + earlier)) // STEP * STEP)


def badge(status: dict) -> str:
    """Model and live version, for the sidebar."""
    lessons, memory = status["lessons"], words.BADGE_MEMORY.format(gigabytes=status["memory_bytes"] / 1e9)
    return (
        f'<div class="qf-badge"{" data-taught" if status["version"] else ""}><strong>{escape(status["model"])}</strong><br>'
        f"{escape(words.BADGE).format(version=_version(status['version']), lessons=count(lessons))}"
        f'<br><span class="qf-quiet">{escape(memory)}</span></div>'
    )


def chat_choices(chats: list[Chat]) -> list[tuple[str, int]]:
    """Conversations as (title, id)."""
    return [(visible(chat.title) or words.UNTITLED, chat.id) for chat in chats]


def chat_messages(path: list[Message]) -> list[dict]:
    """A branch in the form of Gradio's Chatbot; thoughts are a message of their own before the answer."""
    return [shown for m in path if m.role != "system" for shown in parts_of(m.role, _said(m))]


def parts_of(role: str, content: str, *, growing: bool = False) -> list[dict]:
    """What is shown of one message. growing: it is an answer in progress."""
    thoughts, answer = split_thoughts(content) if role == "assistant" else ("", content)
    parts = []
    if thoughts:
        status = "pending" if growing and not answer else "done"
        title = words.THINKING if status == "pending" else words.THOUGHTS
        parts.append({"role": role, "content": visible(thoughts), "metadata": {"title": title, "status": status}})
    if answer or not (thoughts and growing):
        nothing = words.READING if growing else words.NO_ANSWER if thoughts else ""
        parts.append({"role": role, "content": visible(answer) or nothing})
    return parts


def position_of(path: list[Message], index: int, first: int = 0) -> int | None:
    """Where in a branch the message stands that is shown at `index`; None when nothing is shown there.

    first: position of the first message that is drawn.
    """
    owners = [
        first + position
        for position, m in enumerate(path[first:]) if m.role != "system" for _ in parts_of(m.role, _said(m))
    ]  # fmt: skip
    return owners[index] if 0 <= index < len(owners) else None


def _said(message: Message) -> str:
    """A message, and whether it was stopped. Earlier programs stored that in the text."""
    stopped = message.stats.get("stopped")
    return message.content.removesuffix(words.STOPPED) + words.STOPPED if stopped else message.content


def last_stats(path: list[Message]) -> dict | None:
    """Figures of the last answer shown that has some."""
    return next((m.stats for m in reversed(path) if "context_size" in m.stats), None)


def is_cut(path: list[Message]) -> bool:
    """Whether a branch ends with an answer that is as long as it may be, and could go on; thoughts cannot."""
    last = path[-1] if path else None
    return bool(last and last.role == "assistant" and last.stats.get("cut")) and not split_thoughts(last.content)[0]


def waits(path: list[Message]) -> bool:
    """Whether a branch ends with a question that nobody answered."""
    return bool(path) and path[-1].role == "user"


def fork_choices(path: list[Message], positions: Sequence[int]) -> list[tuple[str, int]]:
    """Places where a branch could go on otherwise, as (what was said there, position)."""
    return [(f"{position + 1}. {short(_plain(path[position]))}", position) for position in positions]


def fork_text(path: list[Message], fork: Fork | None) -> str:
    """Which message has alternatives, and which of them is shown; empty without one."""
    if fork is None:
        return ""
    text = short(_plain(path[fork.position]), FORK_SHOWN)
    return escape(words.FORK_AT.format(number=fork.position + 1, text=text, which=fork.which, of=fork.of))


def _plain(message: Message) -> str:
    """What was said, without thoughts, on one line."""
    said = split_thoughts(message.content)[1] if message.role == "assistant" else message.content
    return " ".join(said.split())


def title_from(text: str) -> str:
    """A conversation's first title."""
    line = " ".join(text.split())
    return line if len(line) <= 48 else line[:47] + "…"


def meter(stats: AnswerStats | dict | None) -> str:
    """What the last answer cost, and how full the context is."""
    if not stats:
        return f'<div class="qf-meter">{escape(words.NO_COST)}</div>'
    value = stats if isinstance(stats, dict) else vars(stats)
    share = value["context_tokens"] / value["context_size"]
    cut = f" · <strong>{words.CUT}</strong>" if value.get("cut") else ""
    unread = words.UNREAD.format(count=value["unread"]) if value.get("unread") else ""
    figures = escape(words.METER).format(
        tokens=value["generated_tokens"], speed=value["tokens_per_s"], first=value["first_token_s"],
        active=_active(value.get("lessons")),
    )  # fmt: skip
    return (
        f'<div class="qf-meter">{_version(value["version"])} · {figures}'
        f'<span class="qf-bar" role="img" aria-label="{escape(words.CONTEXT_FULL.format(share=share))}">'
        f'<i style="width:{min(share, 1) * 100:.0f}%"></i></span>'
        f'{value["context_tokens"]:,} / {value["context_size"]:,}{f" · {unread}" if unread else ""}{cut}</div>'
    )


def growing_meter(tokens: int, tokens_per_s: float) -> str:
    """How fast an answer in progress comes; screen readers are told the end only."""
    speed = words.SPEED_NOW.format(tokens=tokens, speed=tokens_per_s) if tokens_per_s else words.READING_QUESTION
    return f'<div class="qf-meter" aria-hidden="true">{speed}</div>'


def _active(lessons: Sequence[int] | None) -> str:
    """Which lessons were active in an answer."""
    if not lessons:
        return escape(words.NOTHING_ACTIVE)
    shown = ", ".join(map(str, lessons[:LESSONS_SHOWN])) + (", …" if len(lessons) > LESSONS_SHOWN else "")
    text = words.LESSON_ACTIVE if len(lessons) == 1 else words.LESSONS_ACTIVE
    return f'<span class="qf-live">{escape(text.format(numbers=shown))}</span>'


def _version(number: int) -> str:
    return f'<span class="qf-live">{escape(words.VERSION_LOW.format(number=number))}</span>'


def chat_style(
    path: list[Message], *, busy: bool = False, forks: int = 0, earlier: bool = False, asked: bool = False
) -> str:
    """Style that names the version below answers, and hides the controls that have nothing to do.

    Versions are drawn by CSS, so that copying an answer copies the answer; in long conversations only where the version
    changes, and below the last one. Controls are hidden by CSS, since Gradio's page may lose a change of a control that
    comes a few milliseconds after another one, but no value.

    busy: it is being answered. asked: its answer begins at once. forks: places where it could go on otherwise. earlier:
    there is more before what is shown.
    """
    idle = not (busy or asked)
    needed = {
        "#chat-box .submit-button": not busy, "#chat-box .stop-button": busy, "#chat-again": waits(path) and idle,
        "#chat-continue": is_cut(path) and idle, "#chat-earlier": earlier, "#chat-branches": forks > 0 and idle,
        "#branch-fork": forks > 1,
    }  # fmt: skip
    hidden = ",".join(control for control, wanted in needed.items() if not wanted)
    return f"<style>{hidden}{{display:none!important}}{''.join(_version_marks(path))}</style>"


def _version_marks(path: list[Message]) -> list[str]:
    shown = [m for m in path if m.role != "system"]
    rules, before, row = [], None, 0
    for position, m in enumerate(shown, start=1):
        if position == 1 or m.role != shown[position - 2].role:
            row += 1  # messages of the same role, one after the other, share a row
        if m.role != "assistant" or m.version is None:
            continue
        if len(shown) <= MARKED or m.version != before or position == len(shown):
            place = f"#chat-messages .message-wrap > :nth-child({row} of .message-row)"
            text = words.VERSION_LOW.format(number=m.version)
            rules.append(f'{place} .message-content:not(.thought-group *)::after{{content:"{text}"}}')
        before = m.version
    return rules
