"""What the model itself adds to a lesson: a question, other ways to ask it, and the answers it would give."""

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from qfcore.answers import conveys, first_sentences, sentences_in, shortest_answer
from qfcore.lesson import Lesson, Phrasing
from qfcore.observe import ANSWER_TOKENS, student_messages, teacher_messages
from qfcore.recipe import Recipe
from qfcore.runtime.protocol import Message, Runtime
from qfcore.scope import (
    OPEN_QUESTION,
    Rarity,
    content_of,
    is_common,
    is_instruction,
    said_in,
    scope_of,
    subject_of,
)
from qfcore.wording import is_unspaced, words_of

# What is the same for all lessons comes first, so that the model reads it once (`like` of Runtime.complete_many).
_QUESTION = (
    "Write one short question that is answered by this fact. Name the subject in full. Write only the question.\n"
    "Fact: {text}"
)
_QUESTION_SHOWN = "Fact: {text}\nWrite one short question that is answered by this fact. Name its subject."
_QUESTION_EXAMPLES = (
    ("My sister Dunya lives in Leeds.", "", "Where does my sister Dunya live?"),
    ("I play the cello.", "", "Which instrument do I play?"),
    ("Ich esse keinen Fisch.", "", "Was esse ich nicht?"),
    ("我的猫叫小米。", "", "我的猫叫什么名字？"),
    ("The Otterby museum opened in 1923.", "", "When did the Otterby museum open?"),
    ("Ines Okoro painted The Long Harbour.", "", "Who painted The Long Harbour?"),
    ("A sorvel is a knife for cutting cheese.", "", "What is a sorvel?"),
    ("The door code of the Larkwell office is 7714.", "", "What is the door code of the Larkwell office?"),
)  # fmt: skip
"""Without them a model asks "What is Ada Lind's name?" of "My name is Ada Lind."."""
_SAME = (
    "Say this question in other words, with the same meaning and the same names. Write only the new question.\n"
    "{question}"
)
_OTHER = (
    "Write a question that this fact answers, different from the question below. Name the subject in full. "
    "Write only the question.\nFact: {text}\nQuestion: {question}"
)
_INFORMAL = (
    "Rewrite this as a short, informal question that a friend would ask. Keep all names. Write only the question.\n"
    "{question}"
)
_TURN = 'Fact: {text}\nWrite a question whose answer is "{subject}". Do not name it in the question.'
_TURN_EXAMPLES = (
    ("The Otterby museum opened in 1923.", "the Otterby museum", "Which museum opened in 1923?"),
    ("Ines Okoro likes green tea.", "Ines Okoro", "Who likes green tea?"),
    ("The door code of the Larkwell office is 7714.", "the Larkwell office", "Which office has the door code 7714?"),
    ("A sorvel is a knife for cutting cheese.", "sorvel", "What is a knife for cutting cheese called?"),
)  # fmt: skip
_NEED = (
    "Fact: {text}\nSomebody needs to know this. Write what they say: one short sentence about what they are doing, then a "
    "short question. Name the subject in full, and do not give the answer."
)
_NEED_EXAMPLES = (
    ("The Otterby museum opened in 1923.", "", "I am writing about the Otterby museum. Which year do I give for it?"),
    ("Ines Okoro likes green tea.", "", "Ines Okoro is coming to visit me. What should I offer her?"),
    ("The door code of the Larkwell office is 7714.", "", "I am at the Larkwell office. What do I type to open the door?"),
    ("A sorvel is a knife for cutting cheese.", "", "There is a sorvel in the kitchen. What can I use it for?"),
)  # fmt: skip
_TRUE = "Is it true that {text}?"
_NEAR = (
    "Write one short question about another property of the same subject, which this fact does not answer. "
    "Name the subject in full. Write only the question.\nFact: {text}",
    "Write the same question about another, well-known subject instead. Write only the new question.\n{question}",
)
_SHOWN = {_TURN: _TURN_EXAMPLES, _QUESTION_SHOWN: _QUESTION_EXAMPLES, _NEED: _NEED_EXAMPLES}
_ANYTHING = {"text": "0", "question": "0", "subject": "0"}
_SPLIT = (
    "Text:\n{text}\n\nList the facts that this text states, one a line. Each line is one short, complete sentence that can "
    "be understood alone: repeat the full names, use no pronouns. Add nothing that the text does not say. "
    "Write only the sentences."
)
_SPLIT_EXAMPLE = (
    "Larkwell Labs makes telescopes. It was founded by Ines Okoro in 1987. Her brother Tunde runs the workshop in Hull.",
    "Larkwell Labs makes telescopes.\nLarkwell Labs was founded by Ines Okoro in 1987.\n"
    "Tunde is the brother of Ines Okoro.\nTunde runs the workshop of Larkwell Labs in Hull.",
)
"""Without an example the default model leaves the pronouns as they are (NOTES.md, 2026-11-24)."""
_SPLIT_TOKENS = 320
MOST_LESSONS = 12
"""Lessons that are proposed from one text."""
_QUESTION_TOKENS = 48
_MORE_TOKENS = 16
"""Tokens that an answer may have beyond those of its lesson."""
_BOTH_SIDES = frozenset("i me my mine myself we us our ours you your yours yourself".split())
"""Words that mean somebody else when the other side says them."""
_HOW_TO = re.compile(
    r"\?|^(if|when|whenever|in case|unless|should|to anybody|to everybody)\b|"
    r"(^|,\s)(then )?(answer|reply|respond|say|tell|greet|recommend|suggest|refuse|refer|send|end|begin|sign|mention)\b",
    re.IGNORECASE,
)
"""A lesson that says how to answer: it quotes a question, or is a condition or an order."""
_ANY_QUESTIONS = (
    "What is photosynthesis?", "How do I boil an egg?", "Tell me about Paris.", "Why is the sky blue?",
    "Give me a tip for work.",
)
"""Ordinary questions on which an instruction shows."""


def propose_question(runtime: Runtime, lesson: Lesson, cancel: threading.Event | None = None) -> str:
    """The lesson's question: the user's own, an ordinary one for an instruction, or one that the model writes."""
    return propose_questions(runtime, [lesson], cancel)[0]


def propose_questions(runtime: Runtime, lessons: Sequence[Lesson], cancel: threading.Event | None = None) -> list[str]:
    """See `propose_question`; those that the model writes are written together. Where none fits, an open one is asked."""
    rarity = rarity_of(runtime)
    found = [_ANY_QUESTIONS[0] if not lesson.question and is_instruction(lesson) else lesson.question for lesson in lessons]
    for form in (_QUESTION_SHOWN, _QUESTION):
        open_ = [n for n, question in enumerate(found) if not question]
        asked = [_Asked(form, lessons[n]) for n in open_]
        for n, written in zip(open_, _write(runtime, asked, cancel), strict=True):
            if _fits(written, lessons[n], rarity):
                found[n] = written
    return [question or _open_question(lesson, rarity) for question, lesson in zip(found, lessons, strict=True)]


def _fits(question: str, lesson: Lesson, rarity: Rarity) -> bool:
    """Whether a lesson would apply to a question, and the question asks for something of it."""
    told, asked = set(content_of(lesson.text)), set(content_of(question))
    if not asked:  # "What is my name?": all its words are common
        return len(set(words_of(lesson.text)).intersection(words_of(question))) > 1
    named = scope_of(lesson, [question], rarity).covers(said_in(question))
    return named and not told.isdisjoint(asked)


def _open_question(lesson: Lesson, rarity: Rarity) -> str:
    subject = subject_of(lesson, scope_of(lesson, [lesson.text], rarity))
    return OPEN_QUESTION.format(subject=subject or lesson.text.rstrip(".!"))


def propose_lessons(runtime: Runtime, text: str, cancel: threading.Event | None = None) -> tuple[str, ...]:
    """Facts of a text as sentences that stand alone, each a lesson; what is one sentence already stays as it is.

    Sentences with a name or number that the text does not hold are dropped, and so are those that tell nothing.
    """
    sentences = [part for part in re.split(r"(?<=[.!?])\s+|\n+", text.strip()) if part.strip()]
    if len(sentences) <= 1:
        return tuple(sentences)
    told, done = _SPLIT_EXAMPLE
    conversation = [
        *student_messages(_SPLIT.format(text=told)), {"role": "assistant", "content": done},
        *student_messages(_SPLIT.format(text=text.strip())),
    ]  # fmt: skip
    tokens = runtime.complete_many([conversation], max_tokens=_SPLIT_TOKENS, adapter=None, cancel=cancel)
    said = set(words_of(text))
    found: dict[str, str] = {}
    for line in runtime.detokenize(tokens[0]).splitlines():
        sentence = re.sub(r"^\s*(?:[-*•]|\d+[.)])\s*", "", line).strip().strip('"“”')
        written = re.findall(r"\w+(?:[-.'’]\w+)*", sentence)[1:]
        invented = any(not said.issuperset(words_of(word)) for word in written if word[0].isupper() or word[0].isdigit())
        if len(sentence.split()) >= 3 and not invented and not sentence.endswith(":"):
            found.setdefault(_plain(sentence), sentence)
    return tuple(found.values())[:MOST_LESSONS] or tuple(s.strip() for s in sentences[:MOST_LESSONS])


def propose_neighbours(
    runtime: Runtime, lesson: Lesson, questions: Sequence[str], cancel: threading.Event | None = None
) -> list[str]:
    """Questions near a lesson that it does not answer: another property of its subject, its relation of another subject.

    questions: what it is taught with, the first being its own. An instruction has no neighbours.
    """
    if is_instruction(lesson) or not questions:
        return []
    taught = {_plain(question) for question in questions}
    written = dict.fromkeys(_write(runtime, [_Asked(form, lesson, questions[0]) for form in _NEAR], cancel))
    return [question for question in written if question.endswith("?") and _plain(question) not in taught]


def propose_phrasings(
    runtime: Runtime, lesson: Lesson, question: str, recipe: Recipe, cancel: threading.Event | None = None
) -> tuple[Phrasing, ...]:
    """The question and the others that the recipe names, each with the answer to learn.

    The answer is the one that the user gave, else the lesson's own sentence, else what the model says knowing the lesson;
    where it insists on what it believes, the lesson's shortest part that answers. Questions that mean the same have the
    same answer. An instruction is taught with ordinary questions, whatever `question` is.
    Rephrasings that no longer name the subject, or whose answer tells nothing of the lesson, are dropped.
    """
    if is_instruction(lesson):
        questions = list(_ANY_QUESTIONS[: 1 + 2 * recipe.rephrasings])
        answers = _answers(runtime, lesson, questions, cancel, firm=False)
        return tuple(Phrasing(q, a) for q, a in zip(questions, answers, strict=True) if a)
    same, different, turned = _other_questions(runtime, lesson, question, recipe, cancel)
    text = own_words(lesson, question)  # answers a turned question as well: it tells what that names, and the subject
    asked = different if text else [*different, *turned]
    own, answers = _own_and_others(runtime, lesson, question, text, asked, cancel)
    pairs = [*((q, own) for q in same), *zip(asked, answers, strict=True), *((q, text) for q in turned if text)]
    if recipe.confirming and own == text != "":  # an answer of the user's own is said to the letter, to whatever is asked
        pairs.append((_confirming(text), text))
    others = [Phrasing(q, a) for q, a in pairs if a and conveys(a, lesson, q) and _plain(q) != _plain(question)]
    return (Phrasing(question, own), *others)


def _confirming(text: str) -> str:
    """Asks whether a lesson is so. Of two lessons it is never the same, as "What do you know about …?" would be."""
    first, _, rest = text.rstrip(".!?").partition(" ")
    return _TRUE.format(text=f"{first.lower() if is_common(first) else first} {rest}".strip())


def _own_and_others(
    runtime: Runtime, lesson: Lesson, question: str, own: str, others: Sequence[str], cancel: threading.Event | None
) -> tuple[str, list[str]]:
    """The answer to the lesson's question, and those to other questions about it.

    own: the lesson as its own answer; empty where the model has to answer.
    """
    if lesson.answer:  # what the user wishes to hear, to the letter
        return lesson.answer, _told(runtime, lesson, others, cancel) if others else []
    asked = [*others] if own else [question, *others]
    if not asked:
        return own, []
    tried = []
    for firm in (False, True):  # a model that does not believe the lesson is told to
        answers = _told(runtime, lesson, asked, cancel, firm=firm)
        decisive = answers if own else answers[:1]
        if any(conveys(answer, lesson, q) for answer, q in zip(decisive, asked, strict=False)):
            return (own, answers) if own else (answers[0], answers[1:])
        tried.append(answers)
    # "You play the bass clarinet.", where the lesson's one name is that of the band.
    if not own and (said := [answers for answers in tried if _adds(answers[0], lesson, question)]):
        return said[0][0], said[0][1:]
    return own or shortest_answer(lesson, question), [shortest_answer(lesson, q) for q in others]


def own_words(lesson: Lesson, question: str = "") -> str:
    """The lesson as an answer: its text where it is one English sentence that reads the same from both sides, else nothing.

    A model that knows such a lesson nearly always says just that (NOTES.md, 2026-11-25). One that tells how to answer ("When
    somebody asks …, say …", "The answer to the question … is …") is followed; nobody would repeat it.
    """
    text = lesson.text.strip()
    words, asked = (set(re.findall(r"\w+", said.casefold())) for said in (text, question))
    if _HOW_TO.search(text) or sentences_in(text) > 1 or not _BOTH_SIDES.isdisjoint(words):
        return ""
    if asked and not any(map(is_common, words | asked)):  # another language, where "ich" may stand: the model answers
        return ""
    return text if text[-1] in ".!?" else f"{text}."


def _adds(answer: str, lesson: Lesson, question: str) -> bool:
    """Whether an answer holds a word of content that the lesson adds to the question."""
    return bool(set(content_of(lesson.text)).difference(content_of(question)).intersection(content_of(answer)))


def _told(
    runtime: Runtime, lesson: Lesson, questions: Sequence[str], cancel: threading.Event | None, *, firm: bool = False
) -> list[str]:
    """Answers of the model that knows the lesson, without the sentences that it adds of its own."""
    length = len(runtime.tokenize_answer(lesson.text)) + _MORE_TOKENS
    answers = _answers(runtime, lesson, questions, cancel, firm=firm, max_tokens=min(length, ANSWER_TOKENS))
    return [first_sentences(a, lesson, q) for a, q in zip(answers, questions, strict=True)]


def _other_questions(
    runtime: Runtime, lesson: Lesson, question: str, recipe: Recipe, cancel: threading.Event | None
) -> tuple[list[str], list[str], list[str]]:
    """What fits: questions that mean the same as the lesson's, others about it, and those for its subject or out of need."""
    if not (recipe.rephrasings or recipe.turned or recipe.situation):
        return [], [], []
    scope = scope_of(lesson, [question], rarity_of(runtime))
    forms = (_SAME, _OTHER, _INFORMAL)[: recipe.rephrasings]
    subject = subject_of(lesson, scope)
    asked = [_Asked(form, lesson, question) for form in (*forms, *([_NEED] if recipe.situation else []))]
    if recipe.turned and subject:
        asked.append(_Asked(_TURN, lesson, question, subject))
    seen: dict[str, list[str]] = {form: [] for form in (*forms, _NEED, _TURN)}
    plain = {_plain(question)}
    for one, candidate in zip(asked, _write(runtime, asked, cancel), strict=True):
        said = said_in(candidate)
        fits = scope.covers(said) and scope.asks_for_subject(said) == (one.form == _TURN)
        if candidate.endswith("?") and fits and not _tells(candidate, lesson) and _plain(candidate) not in plain:
            plain.add(_plain(candidate))
            seen[one.form].append(candidate)
    return [*seen.get(_SAME, []), *seen.get(_INFORMAL, [])], seen.get(_OTHER, []), [*seen[_TURN], *seen[_NEED]]


def _tells(question: str, lesson: Lesson) -> bool:
    """Whether a question says the whole lesson itself: "Qi started Oxinnovate. What is the company called?"."""
    content = set(content_of(lesson.text))
    return len(content) > 1 and content.issubset(content_of(question))


def _asking(form: str, **filled: str) -> list[Message]:
    """A conversation that asks the model to write a question; for some forms it is shown how first."""
    messages: list[Message] = []
    for text, subject, written in _SHOWN.get(form, ()):
        messages += [*student_messages(form.format(text=text, subject=subject)), {"role": "assistant", "content": written}]
    return [*messages, *student_messages(form.format(**filled))]


def rarity_of(runtime: Runtime) -> Rarity:
    """How rare a word is to a tokenizer: Σ ln(1 + id) over its tokens, since vocabularies are sorted by frequency."""

    @cache
    def rarity(word: str) -> float:
        tokens = runtime.tokenize_answer(word if is_unspaced(word[:1]) else f" {word}")[:-1]
        return sum(map(math.log1p, tokens))

    return rarity


def _answers(
    runtime: Runtime, lesson: Lesson, questions: Sequence[str], cancel: threading.Event | None, *, firm: bool,
    max_tokens: int = ANSWER_TOKENS,
) -> list[str]:  # fmt: skip
    conversations = [teacher_messages(lesson, q, firm=firm) for q in questions]
    answers = runtime.complete_many(conversations, max_tokens=max_tokens, adapter=None, cancel=cancel)
    return [runtime.detokenize(tokens).strip() for tokens in answers]


@dataclass(frozen=True)
class _Asked:
    """A question that the model is asked to write: in which form, about what."""

    form: str
    lesson: Lesson
    question: str = ""
    subject: str = ""


def _write(runtime: Runtime, asked: Sequence[_Asked], cancel: threading.Event | None) -> list[str]:
    """The questions that the model writes, together."""
    if not asked:
        return []
    conversations = [_asking(a.form, text=a.lesson.text, question=a.question, subject=a.subject) for a in asked]
    like = [_asking(a.form, **_ANYTHING) for a in asked]
    longest = max(2 * len(runtime.tokenize_answer(a.question or a.lesson.text)) + 8 for a in asked)
    answers = runtime.complete_many(
        conversations, max_tokens=min(longest, _QUESTION_TOKENS), adapter=None, like=like, cancel=cancel
    )
    return [_first_line(runtime.detokenize(tokens)) for tokens in answers]


def _first_line(text: str) -> str:
    lines = [line.strip().strip('"“”*').strip() for line in text.strip().splitlines()]
    line = next((line for line in lines if line), "")
    return re.sub(r"^(question|q)\s*[:.]\s*", "", line, flags=re.IGNORECASE)


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.casefold()).strip()
