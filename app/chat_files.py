"""Conversations as files: Markdown to read, JSON to keep and to bring back."""

import json
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from app import words
from app.presets import from_settings, settings_of
from qfcore.errors import ChatFileError
from qfcore.runtime.thoughts import split_thoughts
from qfcore.store.records import Chat, Message

FORMAT = "qfchat-conversation-1"
MAX_BYTES = 32 << 20
"""Largest file that is brought back: some ten thousand long answers. The doors (`app.server`, `app.guard`) take a little
more, so that the person is told here what is too much."""
MAX_MESSAGES = 100_000
_ROLES = ("system", "user", "assistant")


def file_name(chat: Chat, form: str) -> str:
    """A name that every file system takes."""
    plain = re.sub(r"[^\w-]+", "-", chat.title).strip("-")[:60]
    return f"{plain or 'conversation'}.{form}"


def to_markdown(chat: Chat, path: Sequence[Message]) -> str:
    """The shown branch; thoughts are quoted before their answer."""
    made = words.UTC.format(at=chat.created_at[:16].replace("T", " "))
    parts = [f"# {chat.title or words.FILE_CHAT}", f"*{made}*"]
    for message in path:
        who = words.FILE_ROLES[message.role]
        by = words.FILE_VERSION.format(number=message.version) if message.version is not None else ""
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


def read_file(path: Path) -> str:
    """The text of a file; ChatFileError when it is too large."""
    check_size(path.stat().st_size)
    return path.read_text(encoding="utf-8", errors="replace")


def check_size(count: int) -> None:
    """Raises ChatFileError for more bytes (or characters, of which there are never more) than are brought back."""
    if count > MAX_BYTES:
        raise ChatFileError(words.FILE_TOO_LONG.format(megabytes=count / (1 << 20), most=MAX_BYTES >> 20))


def from_json(content: str) -> ChatFile:
    """Our own form, or a plain list of {"role", "content"}.

    Raises:
        ChatFileError: it is neither, or too large.
    """
    check_size(len(content))
    try:
        value = json.loads(content)
        content.encode()
    except (ValueError, RecursionError) as error:
        raise ChatFileError(words.FILE_NO_JSON.format(error=error)) from error
    title, given = "", {}
    if isinstance(value, dict):
        title, given, value = value.get("title", ""), value, value.get("messages")
    if not isinstance(value, list) or not value or not isinstance(title, str):
        raise ChatFileError(words.FILE_NO_CHAT)
    if len(value) > MAX_MESSAGES:
        raise ChatFileError(words.FILE_TOO_MANY.format(count=len(value), most=MAX_MESSAGES))
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
        raise ChatFileError(words.FILE_NO_MESSAGE.format(number=index + 1))
    parent = given.get("parent", index - 1 if index else None)
    if parent is not None and not (type(parent) is int and 0 <= parent < index):
        raise ChatFileError(words.FILE_NO_PARENT.format(number=index + 1, parent=parent))
    version, stats = given.get("version"), given.get("stats")
    try:
        given["content"].encode()
    except UnicodeEncodeError as error:
        raise ChatFileError(words.FILE_HALF.format(number=index + 1)) from error
    return {
        "role": given["role"], "content": given["content"], "parent": parent,
        "version": version if type(version) is int and 0 <= version < 1 << 31 else None,
        "stats": {"stopped": True} if isinstance(stats, dict) and stats.get("stopped") is True else {},
    }  # fmt: skip
