"""What the model itself adds to a lesson: a question, other ways to ask it, and the answers it would give."""

import re
import threading
from collections.abc import Sequence

from qfcore.lesson import Lesson, Phrasing
from qfcore.observe import ANSWER_TOKENS, student_messages, teacher_messages
from qfcore.recipe import Recipe
from qfcore.runtime.protocol import Runtime

_QUESTION = (
    "Fact: {text}\nWrite one short question that is answered by this fact. Name the subject in full. "
    "Write only the question."
)
_REPHRASE = (
    "Say this question in other words, with the same meaning and the same names. Write only the new question.\n{question}",
    "Fact: {text}\nWrite a question that this fact answers, different from: {question}\n"
    "Name the subject in full. Write only the question.",
    "Rewrite this as a short, informal question that a friend would ask. Keep all names. Write only the question.\n"
    "{question}",
)
_QUESTION_TOKENS = 48


def propose_question(runtime: Runtime, lesson: Lesson, cancel: threading.Event | None = None) -> str:
    """The lesson's question: the user's own, or one that the model writes."""
    if lesson.question:
        return lesson.question
    written = _ask(runtime, [_QUESTION.format(text=lesson.text)], cancel)[0]
    return written or f"What do you know about this: {lesson.text}"


def propose_phrasings(
    runtime: Runtime, lesson: Lesson, question: str, recipe: Recipe, cancel: threading.Event | None = None
) -> tuple[Phrasing, ...]:
    """The question and the recipe's number of rephrasings, each with the answer the model gives knowing the lesson."""
    questions = [question]
    if recipe.rephrasings:
        prompts = [form.format(text=lesson.text, question=question) for form in _REPHRASE]
        for candidate in _ask(runtime, prompts, cancel):
            if candidate and _plain(candidate) not in map(_plain, questions) and len(questions) <= recipe.rephrasings:
                questions.append(candidate)
    conversations = [teacher_messages(lesson, q) for q in questions]
    answers = runtime.complete_many(conversations, max_tokens=ANSWER_TOKENS, adapter=None, cancel=cancel)
    return tuple(
        Phrasing(q, text) for q, tokens in zip(questions, answers, strict=True) if (text := runtime.detokenize(tokens))
    )


def _ask(runtime: Runtime, prompts: Sequence[str], cancel: threading.Event | None) -> list[str]:
    conversations = [student_messages(prompt) for prompt in prompts]
    answers = runtime.complete_many(conversations, max_tokens=_QUESTION_TOKENS, adapter=None, cancel=cancel)
    return [_first_line(runtime.detokenize(tokens)) for tokens in answers]


def _first_line(text: str) -> str:
    lines = [line.strip().strip('"“”*').strip() for line in text.strip().splitlines()]
    line = next((line for line in lines if line), "")
    return re.sub(r"^(question|q)\s*[:.]\s*", "", line, flags=re.IGNORECASE)


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.casefold()).strip()
