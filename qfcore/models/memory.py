"""How much memory there is for a model: the computer's, or the control group's that this process was put into."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from qfcore.settings import wished_device, wished_dtype

_NAMES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Files of a control group, versions 2 and 1: its limit, what is used, and in memory.stat the part that can be dropped."""


@dataclass(frozen=True)
class Memory:
    """In bytes: what may be used at all, and what is free now (caches that can be dropped count as free)."""

    total: int
    available: int


def memory_here(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Memory:
    """The smaller of the computer's memory and the limits of the control groups around this process."""
    machine = psutil.virtual_memory()
    total, available = machine.total, machine.available
    for limit, used in _limits(proc, root):
        total, available = min(total, limit), min(available, max(limit - used, 0))
    return Memory(total, available)


def bytes_per_parameter() -> int:
    """Of a checkpoint in memory, where `qfcore.runtime.hf.loading.choose_placement` will put it: 4 or 2."""
    dtype = wished_dtype()
    if dtype is None:
        import torch

        on_gpu = (wished_device() or ("cuda" if torch.cuda.is_available() else "cpu")).startswith("cuda")
        dtype = "bfloat16" if on_gpu else "float32"
    return 4 if dtype == "float32" else 2


def _limits(proc: Path, root: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) of each group that has one."""
    for folder in _groups(proc, root):
        for limit_name, used_name, droppable in _NAMES:
            try:
                limit, used = int((folder / limit_name).read_text()), int((folder / used_name).read_text())
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no such group, or "max"
                continue
            yield limit, used - int(stat.get(droppable, 0))


def _groups(proc: Path, root: Path) -> Iterator[Path]:
    """The folders of this process's groups, and of those around them."""
    try:
        lines = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:  # not Linux
        return
    for line in lines:
        if len(line) == 3 and line[1] in ("", "memory"):
            top = root / line[1]
            inner = top / line[2].lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))
