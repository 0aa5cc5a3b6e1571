"""Conversations as files: Markdown to read, JSON to keep and to bring back."""

import json
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from app.presets import from_settings, settings_of
from qfcore.errors import ChatFileError
from qfcore.runtime.thoughts import split_thoughts
from qfcore.store.records import Chat, Message

FORMAT = "qfchat-conversation-1"
MAX_CHARACTERS = 1_000_000
"""As many as the window takes from the browser (the megabyte of `app.server`)."""
MAX_MESSAGES = 10_000
_ROLES = ("system", "user", "assistant")


def file_name(chat: Chat, form: str) -> str:
    """A name that every file system takes."""
    plain = re.sub(r"[^\w-]+", "-", chat.title).strip("-")[:60]
    return f"{plain or 'conversation'}.{form}"


def to_markdown(chat: Chat, path: Sequence[Message]) -> str:
    """The shown branch; thoughts are quoted before their answer."""
    parts = [f"# {chat.title or 'Conversation'}", f"*{chat.created_at[:16].replace('T', ' ')} UTC*"]
    for message in path:
        who = {"user": "You", "assistant": "Model", "system": "System"}[message.role]
        by = f" (version {message.version})" if message.version is not None else ""
        thoughts, said = split_thoughts(message.content) if message.role == "assistant" else ("", message.content)
        quoted = "".join(f"> {line}\n" for line in thoughts.splitlines())
        parts.append(f"## {who}{by}\n\n" + (f"{quoted}\n{said}" if quoted else said))
    return "\n\n".join(parts) + "\n"


def to_json(chat: Chat, messages: Sequence[Message]) -> str:
    """The whole tree; parents are positions in the list."""
    positions = {message.id: index for index, message in enumerate(messages)}
    value = {
        "format": FORMAT, "title": chat.title, "created": chat.created_at, "shown": positions.get(chat.leaf),
        "settings": chat.settings,
        "messages": [
            {"role": m.role, "content": m.content, "parent": positions.get(m.parent_id), "version": m.version,
             "stats": m.stats, "created": m.created_at}
            for m in messages
        ],
    }  # fmt: skip
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


@dataclass(frozen=True)
class ChatFile:
    """A conversation that was read. messages: role, content, version, stats, and `parent`, a position or None.

    settings: as kept with a conversation; empty for what is no file of ours. shown: position of the last message of the
        branch that is shown.
    """

    title: str
    messages: list[dict]
    settings: dict
    shown: int


def from_json(content: str) -> ChatFile:
    """Our own form, or a plain list of {"role", "content"}.

    Raises:
        ChatFileError: it is neither.
    """
    if len(content) > MAX_CHARACTERS:
        raise ChatFileError(f"The file has {len(content):,} characters; a conversation has at most {MAX_CHARACTERS:,}.")
    try:
        value = json.loads(content)
        content.encode()
    except (ValueError, RecursionError) as error:
        raise ChatFileError(f"The file is no valid JSON ({error}). A conversation exported as JSON was expected.") from error
    title, given = "", {}
    if isinstance(value, dict):
        title, given, value = value.get("title", ""), value, value.get("messages")
    if not isinstance(value, list) or not value or len(value) > MAX_MESSAGES or not isinstance(title, str):
        raise ChatFileError("The file holds no conversation: a list of messages with role and content was expected.")
    messages = [_message(index, given) for index, given in enumerate(value)]
    title = title[:120] or next((m["content"][:48] for m in messages if m["role"] == "user"), "")
    return ChatFile(title, messages, _settings(given.get("settings")), _shown(given.get("shown"), len(messages)))


def _settings(given: object) -> dict:
    if not isinstance(given, dict):
        return {}
    version, preset = from_settings(given)
    encodable = preset.system.encode("utf-8", "replace").decode("utf-8")
    return settings_of(version, *astuple(replace(preset, system=encodable)))


def _shown(given: object, count: int) -> int:
    return given if type(given) is int and 0 <= given < count else count - 1


def _message(index: int, given: object) -> dict:
    if not isinstance(given, dict) or given.get("role") not in _ROLES or not isinstance(given.get("content"), str):
        raise ChatFileError(f"Message {index + 1} has no role and content, which were expected.")
    parent = given.get("parent", index - 1 if index else None)
    if parent is not None and not (type(parent) is int and 0 <= parent < index):
        raise ChatFileError(f"Message {index + 1} answers message {parent!r}, which does not come before it.")
    version, stats = given.get("version"), given.get("stats")
    try:
        given["content"].encode()
    except UnicodeEncodeError as error:
        raise ChatFileError(f"Message {index + 1} holds half a character, which is no text.") from error
    return {
        "role": given["role"], "content": given["content"], "parent": parent,
        "version": version if type(version) is int and 0 <= version < 1 << 31 else None,
        "stats": {"stopped": True} if isinstance(stats, dict) and stats.get("stopped") is True else {},
    }  # fmt: skip
