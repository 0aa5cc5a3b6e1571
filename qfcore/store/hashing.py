"""How versions are named by their content. Pure functions; `verify` calls them again."""

import hashlib
import json
from collections.abc import Iterable

PREFIX = "qf1:"


def content_hash(model_sha256: str, solve: dict, entries: Iterable[tuple[str, str]]) -> str:
    """Name of a piece of knowledge: the base, how it is solved, and the set of (lesson id, rows digest).

    The order of the entries does not count, nor do history, message and time: the same set has the same name, and its
    change of the weights is the same to the byte.
    """
    return _digest({"model": model_sha256, "solve": solve, "lessons": sorted(map(list, entries))})


def entry_digest(lesson_id: str, data: bytes) -> str:
    """SHA-256 (64 hex digits) of a lesson's rows; it covers the lesson, so two lessons' rows cannot be exchanged."""
    return hashlib.sha256(lesson_id.encode() + data).hexdigest()


def version_hash(
    content: str, parent: str | None, number: int, kind: str, message: str, created_at: str
) -> str:
    """Name of an entry of the history; it covers its parent's, so the history is a chain."""
    return _digest(
        {"content": content, "parent": parent, "number": number, "kind": kind, "message": message, "at": created_at}
    )


def _digest(value: dict) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()
