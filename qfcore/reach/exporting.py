"""A version as a model whose lessons keep to their subjects: from lessons to blocks, to a file."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qfcore.errors import Cancelled, ExportError
from qfcore.export.atomic import partial_file
from qfcore.gguf_file.expand import Tensors, write_trial
from qfcore.gguf_file.header import check_gguf
from qfcore.margin import Head
from qfcore.propose import Rarity
from qfcore.reach.background import Background, find_turns, load_or_make_background
from qfcore.reach.blocks import (
    Change,
    Subject,
    gathering_block,
    memory_block,
    neurons_of,
    reading_block,
)
from qfcore.reach.memory import solve_subject
from qfcore.reach.shape import Shape, shape_of
from qfcore.reach.subjects import Found, find_subject, grouped, read_wordings, subject_of_group
from qfcore.runtime.protocol import Progress
from qfcore.runtime.reading import ReadingModel
from qfcore.store.records import LessonRecord


@dataclass(frozen=True)
class Reached:
    """Blocks that hold lessons. subjects: how many. missed: lessons whose subject was read in none of their wordings."""

    blocks: Mapping[int, Tensors]
    subjects: int
    missed: tuple[LessonRecord, ...]


def reach_blocks(
    base: Path, folder: Path, beside: Path, records: Sequence[LessonRecord], head: Head, rarity: Rarity, *,
    strength: float = 1.0, on_progress: Progress | None = None, cancel: threading.Event | None = None,
) -> Reached:  # fmt: skip
    """The three blocks for some lessons: a detector and a code for every subject, and the lessons' changes behind it.

    folder: where what is known of the base is kept. beside: where a trial file of the base's size may be written meanwhile.
    About 4 seconds a lesson on two cores, and some minutes once per base.

    Raises:
        ExportError: the lessons have more neurons than a block, or there is no room. Cancelled: `cancel` was set.
    """
    tell = _Telling(on_progress, cancel)
    background = load_or_make_background(base, folder, tell.part(0.0, 0.5), cancel)
    facts = check_gguf(base)
    shape = shape_of(facts)
    groups, subjects = _find(base, background, records, rarity, tell.part(0.5, 0.2))
    fixed = {shape.reading: reading_block(shape, background, subjects), shape.gathering: gathering_block(shape, background)}
    with partial_file(beside) as trial:
        with trial.open("wb") as file:
            write_trial(base, facts, {**fixed, shape.memory: memory_block(shape, background, [])}, file, cancel)
        changes = _solve(trial, shape, background, groups, subjects, head, tell.part(0.7, 0.3))
    known = [change for change in changes if change is not None]
    if (needed := neurons_of(known)) > shape.inner:
        raise ExportError(
            f"These lessons need {needed:,} neurons, the block has {shape.inner:,}. Export fewer lessons, or the plain form."
        )
    weaker = [Change(change.gate, change.up, change.down * strength) for change in known]
    missed = tuple(f.record for group, change in zip(groups, changes, strict=True) if change is None for f in group)
    return Reached({**fixed, shape.memory: memory_block(shape, background, weaker)}, len(subjects), missed)


def _find(
    base: Path, background: Background, records: Sequence[LessonRecord], rarity: Rarity, tell: Progress
) -> tuple[list[list[Found]], list[Subject]]:
    """Lessons by their subjects, and these."""
    reader = ReadingModel(base)
    try:
        turns, found = find_turns(reader), []
        for index, record in enumerate(records):
            tell(0.6 * index / len(records), f"Finding what lesson {index + 1} of {len(records)} is about")
            found.append(find_subject(background, record, read_wordings(reader, turns, record), rarity))
        groups, subjects = grouped(found), []
        for index, group in enumerate(groups):
            tell(0.6 + 0.4 * index / len(groups), f"Choosing a code for subject {index + 1} of {len(groups)}")
            subjects.append(subject_of_group(reader, turns, background, group))
        return groups, subjects
    finally:
        reader.close()


def _solve(
    trial: Path, shape: Shape, background: Background, groups: Sequence[Sequence[Found]], subjects: Sequence[Subject],
    head: Head, tell: Progress,
) -> list[Change | None]:  # fmt: skip
    reader = ReadingModel(trial)
    try:
        changes = []
        for index, (group, subject) in enumerate(zip(groups, subjects, strict=True)):
            tell(index / len(groups), f"Solving subject {index + 1} of {len(groups)}")
            phrasings = [phrasing for found in group for phrasing in found.record.phrasings]
            changes.append(solve_subject(reader, shape, background, subject, phrasings, head))
        return changes
    finally:
        reader.close()


class _Telling:
    """Progress in parts, which ends where the user wants to stop."""

    def __init__(self, tell: Progress | None, cancel: threading.Event | None) -> None:
        self._tell, self._cancel = tell or (lambda *_: None), cancel

    def part(self, start: float, share: float) -> Callable[[float, str], None]:
        """Tells a part of the whole."""

        def tell(fraction: float, text: str) -> None:
            if self._cancel is not None and self._cancel.is_set():
                raise Cancelled("Stopped. No file was written.")
            self._tell(start + share * fraction, text)

        return tell
