"""Answer settings with a name, kept in one small file of the home."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from app import words
from qfcore.errors import LessonError, NotFound
from qfcore.export.atomic import atomic_write
from qfcore.runtime.protocol import Sampling


@dataclass(frozen=True)
class Preset:
    """How an answer is made; the same fields as the window's settings, in the same order."""

    system: str = ""
    temperature: float = 0.7
    max_tokens: int = 512
    top_p: float = 0.8
    top_k: int = 20
    repeat: float = 1.05
    seed: int | None = None
    think: bool = False

    @property
    def sampling(self) -> Sampling:
        """What the runtime asks for."""
        return Sampling(
            self.temperature, top_k=int(self.top_k), top_p=self.top_p, repeat_penalty=self.repeat,
            max_tokens=int(self.max_tokens), seed=None if self.seed is None else int(self.seed),
        )  # fmt: skip


DEFAULT = Preset()
RANGES = {
    "temperature": (0, 2), "max_tokens": (16, 2048), "top_p": (0.05, 1), "top_k": (0, 200), "repeat": (1, 2),
    "seed": (0, 2**32 - 1),
}  # fmt: skip
"""What the window's controls take."""
_KINDS = {"system": (str,), "think": (bool,)}


def preset_of(*values: object) -> Preset:
    """From the values of the window's controls; an empty one counts as the default."""
    given = {f.name: v for f, v in zip(fields(Preset), values, strict=True) if v is not None}
    return Preset(**given)


def settings_of(version: str | int | None, *values: object) -> dict:
    """What is kept with a conversation: the version that answers, and the values of the controls."""
    return {"version": "live" if version is None else version, **asdict(preset_of(*values))}


def from_settings(settings: Mapping) -> tuple[str | int, Preset]:
    """(version, preset) of a conversation; what is missing, of another type or out of range counts as the default."""
    version = settings.get("version")
    known = {
        f.name: settings[f.name]
        for f in fields(Preset)
        if type(settings.get(f.name)) in _KINDS.get(f.name, (int, float)) and _in_range(f.name, settings[f.name])
    }
    return version if type(version) in (str, int) else "live", Preset(**known)


def _in_range(name: str, value: str | float) -> bool:
    low, high = RANGES.get(name, (None, None))
    return low is None or low <= value <= high


class Presets:
    """The presets of a home."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[str, Preset]:
        """By name. A damaged file counts as empty: presets are no knowledge."""
        try:
            known = {f.name for f in fields(Preset)}
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            return {n: Preset(**{k: v for k, v in p.items() if k in known}) for n, p in sorted(stored.items())}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def keep(self, name: str, preset: Preset) -> str:
        """Store a preset under a name, over one that has it; the name as stored.

        Raises:
            LessonError: the name is empty or too long. ExportError: the home cannot be written.
        """
        name = " ".join(name.split())
        if not 1 <= len(name) <= 60:
            raise LessonError(words.PRESET_NAMELESS)
        self._write({**self.all(), name: preset})
        return name

    def drop(self, name: str) -> None:
        """Delete a preset; NotFound when there is none."""
        known = self.all()
        if name not in known:
            raise NotFound(words.PRESET_UNKNOWN.format(name=name))
        del known[name]
        self._write(known)

    def _write(self, presets: dict[str, Preset]) -> None:
        with atomic_write(self._path) as file:
            file.write(json.dumps({n: asdict(p) for n, p in presets.items()}, ensure_ascii=False, indent=1).encode())
