"""The model that the window opens when none is named: a choice that the home remembers."""

import json
from dataclasses import dataclass
from pathlib import Path

from qfcore.export.atomic import atomic_write
from qfcore.settings import Paths

_LONGEST = 4096


@dataclass(frozen=True)
class Choice:
    """name: what `qfchat --model` takes (None: the default); before: what was open when it was chosen."""

    name: str | None = None
    before: str | None = None


def read_choice(paths: Paths) -> Choice:
    """The remembered choice. A damaged file counts as none: it holds no knowledge."""
    try:
        value = json.loads(_file(paths).read_text(encoding="utf-8"))
        names = (value.get("model"), value.get("before"))
    except (OSError, ValueError, AttributeError):
        return Choice()
    return Choice(*(name if isinstance(name, str) and 0 < len(name) <= _LONGEST else None for name in names))


def remember_choice(paths: Paths, choice: Choice) -> None:
    """Keep it for the next start; ExportError when the home cannot be written."""
    with atomic_write(_file(paths)) as file:
        file.write(json.dumps({"model": choice.name, "before": choice.before}, ensure_ascii=False).encode())


def _file(paths: Paths) -> Path:
    return paths.home / "settings.json"
