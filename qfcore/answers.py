"""Whether an answer tells a lesson, and the shortest answer that does."""

import re
import unicodedata
from collections.abc import Sequence

from qfcore.lesson import Lesson, Phrasing
from qfcore.wording import is_unspaced

_STOP_WORDS = frozenset("a an and are as at be by for from in is it its of on or that the this to was were with".split())


def says(answer: str, accept: Sequence[str]) -> bool:
    """Whether one of `accept` occurs in the answer, case-insensitively (suites/README.md).

    As whole words in scripts that separate words by blanks, anywhere in the others and in Korean, where particles are
    written onto a word. Curly apostrophes, full-width digits and other compatible spellings (NFKC) count as the plain ones.
    """
    text = _spaces(answer)
    return any(_occurs(_spaces(part), text) for part in accept if part.strip())


def _occurs(part: str, text: str) -> bool:
    at = text.find(part)
    while at >= 0:
        end = at + len(part)
        cut = (at and _one_word(text[at - 1], part[0])) or (end < len(text) and _one_word(part[-1], text[end]))
        if not cut:
            return True
        at = text.find(part, at + 1)
    return False


def _one_word(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word."""
    return _is_letter(left) and _is_letter(right) and not (_ends_words(left) or _ends_words(right))


def _is_letter(character: str) -> bool:
    # Marks too: in Hindi and Arabic, vowel signs stand inside of words.
    return character == "_" or unicodedata.category(character)[0] in "LMN"


def _ends_words(character: str) -> bool:
    """Whether a word may end beside a letter: in scripts without blanks, and in Korean."""
    return is_unspaced(character) or unicodedata.name(character, "").startswith("HANGUL ")


def tells(answer: str, lesson: Lesson, phrasing: Phrasing) -> bool:
    """Whether an answer tells the lesson: the given answer, or the words that the lesson adds to the question."""
    if lesson.answer and phrasing.question == lesson.question:
        return says(answer, [lesson.answer])
    said, taught = _words(answer), _words(phrasing.answer)
    key = (taught & _words(lesson.text)) - _words(phrasing.question)
    wanted = key or taught
    return bool(wanted) and wanted <= said


def conveys(answer: str, lesson: Lesson, question: str) -> bool:
    """Whether an answer holds anything that the lesson adds to the question; a teacher's that does not has refused.

    Names and numbers count, where the lesson adds any; else every word.
    """
    if lesson.answer and question == lesson.question:
        return says(answer, [lesson.answer])
    added = _words(lesson.text) - _words(question)
    written = [m.group() for m in re.finditer(_WORD, lesson.text)][1:]  # the first word is always written like a name
    strong = {w.casefold() for w in written if _is_strong(w)} & added
    return not added or bool((strong or added) & _words(answer))


def _is_strong(word: str) -> bool:
    """Whether a word is written like a name or a number; "I'm" is only written large."""
    return (word[0].isupper() and re.split("['’]", word)[0] != "I") or any(map(str.isdigit, word))


def shortest_answer(lesson: Lesson, question: str) -> str:
    """The given answer; else the names and numbers, or the one word, that the lesson adds to the question, where
    that is one stretch of it; else the lesson.
    """
    if lesson.answer:
        return lesson.answer
    added = _words(lesson.text) - _words(question)
    found = [m for m in re.finditer(_WORD, lesson.text) if m.group().casefold() in added]
    if not found:
        return lesson.text
    strong = [m for m in found if _is_strong(m.group())]
    if not strong and len(found) > 1:
        return lesson.text
    found = strong or found  # "47", not "has 47"
    stretch = lesson.text[found[0].start() : found[-1].end()]
    return stretch if _words(stretch) <= added else lesson.text


def first_sentences(answer: str, lesson: Lesson, question: str) -> str:
    """An answer up to the sentence that tells the lesson, and no shorter than the lesson in sentences.

    What a model adds after that it did not take from the lesson.
    """
    ends = [m.start() for m in _SENTENCE_END.finditer(answer)]
    for end in ends[sentences_in(lesson.text) - 1 :]:
        if conveys(answer[:end], lesson, question):
            return answer[:end]
    return answer


def sentences_in(text: str) -> int:
    """How many sentences a text has, at least one."""
    return 1 + len(_SENTENCE_END.findall(text))


_SENTENCE_END = re.compile(r"(?<=\w{4}[.?!])(?<!\bProf\.)\s+(?=[A-Z])")
"""After a word of four letters or more: "Dr. Brandt" is one sentence."""
_WORD = r"[\w'’-]+(?:[.,:/@]\w+)*"


def _words(text: str) -> set[str]:
    return set(re.findall(_WORD, text.casefold())) - _STOP_WORDS


def _spaces(text: str) -> str:
    """Texts as they are compared. "İ" is folded to "i" with a dot above, which nobody writes in a small letter."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("i\u0307", "i")
    return " ".join(plain.replace("\u2019", "'").split())
