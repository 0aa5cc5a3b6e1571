"""The change of a subject's lessons in the memory block: the regression of qfcore/solve.py, behind the subject's gate."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qfcore.lesson import Phrasing
from qfcore.margin import Head
from qfcore.observe import margin_targets, row_weights, student_messages
from qfcore.reach.background import Background, normed
from qfcore.reach.blocks import Change, gate_of, opened
from qfcore.reach.shape import Shape
from qfcore.recipe import RIDGE
from qfcore.rows import Rows
from qfcore.runtime.protocol import Observed
from qfcore.runtime.reading import LONGEST, ReadingModel

MOST_NEURONS = 48
"""Largest rank of a lesson's change; it takes twice as many neurons."""
LEAD, HEAVIER, ROUNDS = 2.0, 4.0, 6
"""Logits by which every token of an answer is to lead after the solve. Where it does not, its weight is multiplied and the
system solved again, so often at most."""
GROWTH = 2.0
"""How much larger than at first a change may become by that."""
LIKELY = 32
"""Rivals of a token beside the answers' own."""
OPEN_ELSEWHERE = 0.02
"""How far a gate may be open at any ordinary answer."""
READ = 0.4
"""Share of what usually arrives of a code that must arrive in a wording; in a question turned round it is 0."""


@dataclass(frozen=True)
class _Observed:
    """What one wording shows at the K positions that predict its answer."""

    x: np.ndarray  # (K, D) the memory's normed input
    added: np.ndarray  # (K, D) what its attention added
    residuals: np.ndarray  # (K, D) what it gives with no change
    logits: np.ndarray  # (K, V)
    answer: np.ndarray  # (K,)


def solve_subject(
    reader: ReadingModel, shape: Shape, background: Background, direction: np.ndarray, phrasings: Sequence[Phrasing],
    head: Head,
) -> Change | None:  # fmt: skip
    """The change that makes the model give these answers at the subject's code; None where no wording shows that.

    reader: the expanded model with the subject's detector and a memory without changes. direction: (D,) see `directions_of`.

    Raises:
        LessonError: the system is degenerate.
    """
    seen = [one for phrasing in phrasings if (one := _observe(reader, shape, phrasing))]
    seen = [one for one in seen if float((one.x @ direction).mean()) > READ]
    if not seen:
        return None
    gate = gate_of(background, direction, float(np.concatenate([one.x @ direction for one in seen]).mean()))
    if opened(background, gate, normed(background.answers)).max() > OPEN_ELSEWHERE:
        return None  # it would act everywhere
    keys, targets, weights, words = [], [], [], {int(token) for one in seen for token in one.answer}
    for one in seen:
        shown = Observed(one.x, one.residuals.astype(np.float32), one.logits)
        changes, taught = margin_targets(shown, one.answer, RIDGE, head)
        keys.append(_behind(background, gate, one.x))
        targets.append(changes)
        weights.append(row_weights(taught, RIDGE))
    rows = Rows(shape.memory, *(np.concatenate(part).astype(np.float32) for part in (keys, targets, weights)))
    if not rows.taught.any():
        return Change(gate, np.zeros((0, shape.width)), np.zeros((shape.width, 0)))
    added = np.mean([one.added.mean(axis=0) for one in seen], axis=0)
    ordinary = _behind(background, gate, normed(background.answers + added))
    stay = np.where(background.opening > 0, RIDGE.replay_first_weight, RIDGE.replay_weight)
    from qfcore.solve import prepare_replay, solve_ridge  # imports torch

    basis = prepare_replay(ordinary.astype(np.float32), stay.astype(np.float32), RIDGE.ridge)
    rivals = [_rivals(head, one, words) for one in seen]
    largest = math.inf
    for _ in range(ROUNDS):
        heavier = solve_ridge(rows, basis, fit=RIDGE.fit)
        if heavier.norm > largest:
            break  # what no weight can tell apart only makes the change grow
        delta, largest = heavier, min(largest, GROWTH * heavier.norm)
        delta = delta.reduced(MOST_NEURONS * max(1, len({p.answer for p in phrasings})))[0]
        leads = _leads(seen, rivals, rows.keys @ delta.a.T @ delta.b.T, head.epsilon)
        if leads.min() > LEAD:
            break
        rows = replace(rows, weights=np.where(leads > LEAD, rows.weights, rows.weights * HEAVIER).astype(np.float32))
    return Change(gate, delta.a.astype(np.float64), delta.b.astype(np.float64))


def _rivals(head: Head, one: _Observed, words: Collection[int]) -> list[np.ndarray]:
    """For each position (C, D): the row of the wanted token less those of its rivals, which are the likeliest tokens and all
    that the answers are made of: what is said twice ("4777") was taught one position before.
    """
    leads = []
    for logits, wanted in zip(one.logits, one.answer, strict=True):
        likely = np.argpartition(-logits, LIKELY)[:LIKELY]
        others = np.array(sorted({*likely.tolist(), *words} - {int(wanted)}))
        leads.append(head.rows(np.array([wanted])) - head.rows(others))
    return leads


def _leads(
    seen: Sequence[_Observed], rivals: Sequence[Sequence[np.ndarray]], changes: np.ndarray, epsilon: float
) -> np.ndarray:
    """(K,) by how many logits each answer's token leads its rivals when the residuals are changed by (K, D)."""
    residuals = np.concatenate([one.residuals for one in seen]) + changes
    scales = 1.0 / np.sqrt(np.mean(residuals**2, axis=1) + epsilon)
    flat = [leads for part in rivals for leads in part]
    return np.array([(lead @ h).min() * s for lead, h, s in zip(flat, residuals, scales, strict=True)])


def _observe(reader: ReadingModel, shape: Shape, phrasing: Phrasing) -> _Observed | None:
    """What a wording shows; None for one that is too long to be read at once."""
    prompt, answer = reader.tokens(student_messages(phrasing.question)), reader.prompts.answer(phrasing.answer)
    block = shape.memory
    names = [f"ffn_norm-{block}", f"ffn_inp-{block}", f"l_out-{block - 1}", f"l_out-{block}"]
    if len(prompt) + len(answer) > LONGEST:
        return None
    seen = reader.read([*prompt, *answer[:-1]], names)
    place = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
    x, after, before, out = (seen[name][place].astype(np.float64) for name in names)
    return _Observed(x, after - before, out, reader.logits(range(place.start, place.stop)), np.asarray(answer))


def _behind(background: Background, gate: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(N, D) keys: normed residuals, as far as the gate is open at them."""
    return opened(background, gate, x)[:, None] * x
