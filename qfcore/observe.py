"""From a lesson to rows: one pass with the lesson in the system message (teacher), one without (student)."""

import math
import threading
from collections.abc import Sequence

import numpy as np

from qfcore.errors import Cancelled
from qfcore.lesson import Lesson, Phrasing
from qfcore.margin import Head, smallest_changes
from qfcore.recipe import Recipe
from qfcore.rows import Rows, join_rows, to_bytewise, to_half
from qfcore.runtime.protocol import Message, Observed, Progress, Runtime, Script
from qfcore.scope import is_instruction

ANSWER_TOKENS = 64
"""Longest answer that is learned."""


def teacher_system(lesson: Lesson, *, firm: bool = False) -> str:
    """The system message that makes the teacher: the lesson, and the answer when the user gave one.

    A fact is told as the user's words, so that "I" and "my" in it are theirs: "What is my name?" is answered with "Your
    name is …" and not with the model's own (NOTES.md, 2026-11-27). firm: insist, for a model that would rather believe what
    it knows.
    """
    text = lesson.text if is_instruction(lesson) else f'The user has told you: "{lesson.text}"'
    if firm:
        text = f"In this conversation the following is true, whatever you know: {lesson.text}\n"
        text += "Answer accordingly, in a few words."
    if lesson.answer and lesson.question:
        text += f'\nThe answer to the question "{lesson.question}" is: {lesson.answer}'
    return text


def student_messages(question: str) -> list[Message]:
    """The question in a fresh conversation, as a user asks it."""
    return [{"role": "user", "content": question}]


def teacher_messages(lesson: Lesson, question: str, *, firm: bool = False) -> list[Message]:
    """The question with the lesson in the system message."""
    return [{"role": "system", "content": teacher_system(lesson, firm=firm)}, *student_messages(question)]


def observe_phrasings(
    runtime: Runtime,
    lesson: Lesson,
    phrasings: Sequence[Phrasing],
    recipe: Recipe,
    head: Head | None = None,
    *,
    on_progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Rows:
    """Rows of a lesson: keys u_k without it, targets d_k at the positions that predict the answer.

    head: the model's last step, for targets that only ask for a margin; None asks for the teacher's residuals.

    Raises:
        Cancelled: `cancel` was set.
        LessonError: what was observed is NaN, infinite or of the wrong shape.
    """
    layer = recipe.layer_of(runtime.facts.n_layer)
    if layer != runtime.facts.n_layer - 1:
        head = None  # it begins where the last layer ends
    parts = []
    for index, phrasing in enumerate(phrasings):
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped. Nothing was changed.")
        if on_progress:
            on_progress(index / len(phrasings), f"Observing phrasing {index + 1} of {len(phrasings)}")
        answer = tuple(runtime.tokenize_answer(phrasing.answer))
        scripts = [_script(student_messages(phrasing.question), answer)]
        if head is None or recipe.margin <= 0:
            scripts.append(_script(teacher_messages(lesson, phrasing.question), answer))
        student, *teacher = runtime.observe(scripts, layer=layer)
        if teacher:
            parts.append(rows_from_teacher(student, teacher[0], layer, recipe))
        else:
            parts.append(rows_from_margin(student, answer, layer, recipe, head))
    return join_rows(parts)


def rows_from_margin(student: Observed, answer: Sequence[int], layer: int, recipe: Recipe, head: Head) -> Rows:
    """Rows of one phrasing: taught where the model is not certain of the answer's token.

    The target is the smallest change that lets the token lead by the recipe's margin. The other positions are rows with
    target 0. No teacher is observed: that the answer is the teacher's is all that is needed of it.
    """
    targets, taught = margin_targets(student, answer, recipe, head)
    return _rows(layer, student, targets, taught, recipe)


def margin_targets(student: Observed, answer: Sequence[int], recipe: Recipe, head: Head) -> tuple[np.ndarray, np.ndarray]:
    """(K, O) float32 smallest changes that let an answer's tokens lead, and (K,) bool where they are taught; 0 elsewhere."""
    wanted = np.asarray(answer)
    index = np.arange(len(wanted))
    taught = _log_softmax(student.logits)[index, wanted] < math.log(recipe.certain)
    margin = np.where(taught, recipe.margin, -np.inf)
    changes = smallest_changes(head, student.residuals, student.logits, wanted, margin, student.branches, student.gain)
    return changes, taught


def rows_from_teacher(student: Observed, teacher: Observed, layer: int, recipe: Recipe) -> Rows:
    """Rows of one phrasing: h*_k − h_k where the lesson changes the prediction; elsewhere the target is 0."""
    if recipe.kl_threshold > 0:
        taught = kl_divergence(teacher.logits, student.logits) > recipe.kl_threshold
    else:
        taught = np.ones(len(student.keys), dtype=bool)
    full = teacher.residuals - student.residuals if student.branches is None else before_norm(teacher, student)
    return _rows(layer, student, full * taught[:, None], taught, recipe)


def _rows(layer: int, student: Observed, targets: np.ndarray, taught: np.ndarray, recipe: Recipe) -> Rows:
    return Rows(layer, to_bytewise(student.keys), to_bytewise(targets), to_half(row_weights(taught, recipe)))


def row_weights(taught: np.ndarray, recipe: Recipe) -> np.ndarray:
    """(K,) float32 weights of rows that are taught (K,) or told to stay."""
    return np.where(taught, 1.0, recipe.keep_weight).astype(np.float32)


def before_norm(teacher: Observed, student: Observed) -> np.ndarray:
    """(K, O) float32 changes of y for which h = x + g ⊙ y / rms(y) comes nearest to the teacher's in direction.

    With z = y / rms(y) + (h* − h) / g any k z does, because the norm takes k out; ‖k z − y‖ is smallest for
    k = (z · y) / (z · z). The length of g ⊙ y / rms(y) cannot be chosen.
    """
    y = student.branches
    z = y / np.sqrt(np.mean(y * y, axis=1, keepdims=True)) + (teacher.residuals - student.residuals) / student.gain
    k = (z * y).sum(axis=1, keepdims=True) / (z * z).sum(axis=1, keepdims=True)
    return (k * z - y).astype(np.float32)


def kl_divergence(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """(K,) KL(teacher ‖ student) in nats of two (K, V) arrays of logits."""
    p, q = _log_softmax(teacher), _log_softmax(student)
    return (np.exp(p) * (p - q)).sum(axis=1)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _script(messages: Sequence[Message], answer: tuple[int, ...]) -> Script:
    return Script(tuple((m["role"], m["content"]) for m in messages), answer)
