"""A version as a model whose lessons keep to their subjects: from lessons to blocks, to a file."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qfcore.errors import Cancelled, ExportError
from qfcore.examine import something_else
from qfcore.export.atomic import partial_file
from qfcore.gguf_file.expand import Tensors, write_trial
from qfcore.gguf_file.header import check_gguf
from qfcore.loops import loop_in
from qfcore.margin import Head
from qfcore.propose import Rarity
from qfcore.reach.background import Background, find_turns, load_or_make_background
from qfcore.reach.blocks import (
    Change,
    Subject,
    directions_of,
    gathering_block,
    memory_block,
    neurons_of,
    reading_block,
)
from qfcore.reach.memory import solve_subject
from qfcore.reach.shape import Shape, shape_of
from qfcore.reach.subjects import Found, find_subject, grouped, read_wordings, subject_of_group
from qfcore.runtime.protocol import Progress, part_of
from qfcore.runtime.reading import ReadingModel
from qfcore.store.records import LessonRecord
from qfcore.teach import SOFTER

LEAST_NEURONS, USUAL_NEURONS = 40, 60
"""Neurons that a lesson takes in the memory block, at least and usually."""
_TOKENS = 24
"""Longest answer that is looked at for repetitions."""


@dataclass(frozen=True)
class Reached:
    """Blocks that hold lessons.

    subjects: how many. missed: lessons whose subject was read in none of their wordings, or at ordinary answers too.
    softened: by what the change of a lesson was multiplied, by its text, since answers repeated themselves; 0 for those that
    are left out for that.
    """

    blocks: Mapping[int, Tensors]
    subjects: int
    missed: tuple[LessonRecord, ...]
    softened: Mapping[str, float]


def reach_blocks(
    base: Path, folder: Path, beside: Path, records: Sequence[LessonRecord], head: Head, rarity: Rarity, *,
    strength: float = 1.0, on_progress: Progress | None = None, cancel: threading.Event | None = None,
) -> Reached:  # fmt: skip
    """The three blocks for some lessons: a detector and a code for every subject, and the lessons' changes behind it.

    folder: where what is known of the base is kept. beside: where a trial file of the base's size may be written meanwhile.
    About 7 seconds a lesson on two cores, and some minutes once per base.

    Raises:
        ExportError: the lessons have more neurons than a block, or there is no room. Cancelled: `cancel` was set.
    """
    shape = shape_of(facts := check_gguf(base))
    if len(records) > shape.inner // LEAST_NEURONS:  # told before hours are spent
        raise ExportError(
            f"{len(records):,} lessons do not fit into one added block; about {shape.inner // USUAL_NEURONS} do. "
            "Export fewer, or the plain form."
        )

    def tell(fraction: float, text: str) -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped. No file was written.")
        if on_progress:
            on_progress(fraction, text)

    background = load_or_make_background(base, folder, part_of(tell, 0.0, 0.5), cancel)
    groups, subjects = _find(base, background, records, rarity, part_of(tell, 0.5, 0.2))
    fixed = {shape.reading: reading_block(shape, background, subjects), shape.gathering: gathering_block(shape, background)}

    def blocks(changes: Sequence[Change]) -> dict[int, Tensors]:
        return {**fixed, shape.memory: memory_block(shape, background, changes)}

    with partial_file(beside) as trial:

        def write(changes: Sequence[Change]) -> Path:
            with trial.open("wb") as file:
                write_trial(base, facts, blocks(changes), file, cancel)
            return trial

        changes = _solve(write([]), shape, background, groups, subjects, head, part_of(tell, 0.7, 0.2))
        if (needed := neurons_of([change for change in changes if change])) > shape.inner:
            raise ExportError(
                f"These lessons need {needed:,} neurons, the block has {shape.inner:,}. Export fewer, or the plain form."
            )
        changes = [change and change.scaled(strength) for change in changes]
        strengths = _settle(write, changes, groups, part_of(tell, 0.9, 0.1))
    kept = [change.scaled(s) for change, s in zip(changes, strengths, strict=True) if change and s]
    reached = {f.record.id for group, change in zip(groups, changes, strict=True) if change for f in group}
    missed = tuple(record for record in records if record.id not in reached)
    softened = {f.record.lesson.text: s for group, s in zip(groups, strengths, strict=True) if s != 1.0 for f in group}
    return Reached(blocks(kept), len(subjects), missed, softened)


def _find(
    base: Path, background: Background, records: Sequence[LessonRecord], rarity: Rarity, tell: Progress
) -> tuple[list[list[Found]], list[Subject]]:
    """Lessons by their subjects, and these."""
    reader = ReadingModel(base)
    try:
        turns, found = find_turns(reader), []
        for index, record in enumerate(records):
            tell(0.6 * index / len(records), f"Finding what lesson {index + 1} of {len(records)} is about")
            if wordings := read_wordings(reader, turns, record):
                found.append(find_subject(background, record, wordings, rarity))
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
        changes, directions = [], directions_of(background, subjects)
        for index, (group, direction) in enumerate(zip(groups, directions, strict=True)):
            tell(index / len(groups), f"Solving subject {index + 1} of {len(groups)}")
            phrasings = [phrasing for found in group for phrasing in found.record.phrasings]
            changes.append(solve_subject(reader, shape, background, direction, phrasings, head))
        return changes
    finally:
        reader.close()


def _settle(
    write: Callable[[Sequence[Change]], Path], changes: Sequence[Change | None], groups: Sequence[Sequence[Found]],
    tell: Progress,
) -> list[float]:  # fmt: skip
    """By what each change is multiplied, so that no answer about its subject repeats itself; 0 where nothing helps."""
    strengths, doubtful = [1.0] * len(changes), [n for n, change in enumerate(changes) if change]
    for softer in (*SOFTER, 0.0):
        kept = [change.scaled(s) for change, s in zip(changes, strengths, strict=True) if change and s]
        reader = ReadingModel(write(kept))
        try:
            broken = []
            for done, n in enumerate(doubtful):
                tell(done / len(doubtful), f"Asking about subject {done + 1} of {len(doubtful)}")
                if any(_repeats(reader, question) for found in groups[n] for question in _asked(found.record)):
                    broken.append(n)
        finally:
            reader.close()
        if not broken:
            break
        for n in broken:
            strengths[n] = softer
        doubtful = broken
    return strengths


def _asked(record: LessonRecord) -> list[str]:
    """A lesson's own question, and something that it does not answer."""
    own = record.phrasings[0].question if record.phrasings else record.lesson.text
    return [own, *something_else(record)[:1]]


def _repeats(reader: ReadingModel, question: str) -> bool:
    return bool(loop_in(reader.prompts.text(reader.greedy(reader.tokens(question), _TOKENS)[0])))
