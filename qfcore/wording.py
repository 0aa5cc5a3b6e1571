"""The words of a text, as scopes and contradictions compare them, in any script.

One word has one form however it is typed: accents, curly apostrophes, hyphens and full-width letters make no other word.
Scripts without blanks (Chinese, Japanese, Thai) are read in overlapping pairs of characters, as search engines read them.
"""

import re
import sys
import unicodedata
from difflib import SequenceMatcher
from functools import cache

_ACCENTS = re.compile("(?<=[A-Za-z\u0370-\u03ff\u0435])[\u0300-\u036f]+")
"""Marks that people leave out, on Latin and Greek letters and on the Cyrillic ё; й is a letter of its own."""
_UNSPACED = ("CJK ", "HIRAGANA ", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ", "BOPOMOFO ")


def _marks() -> str:
    """The combining marks of the basic plane, as the inside of a character class: a word of Hindi is full of them."""
    found = [code for code in range(0x300, 0x10000) if unicodedata.category(chr(code))[0] == "M"]
    runs, begin = [], found[0]
    for code, following in zip(found, [*found[1:], sys.maxunicode], strict=True):
        if following != code + 1:
            runs.append(f"{chr(begin)}-{chr(code)}")
            begin = following
    return "".join(runs)


_LETTERS = rf"[\w{_marks()}]+"
_WORD = re.compile(rf"{_LETTERS}(?:[-.'’‐‑]{_LETTERS})*")
_ELIDED = re.compile(r"^\w{1,2}['’](?=\w{3})")
"""Before a French or Italian noun, and in D'Arcy."""
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-‐‑](?=[^\W\d_])")
"""Between letters; between a letter and a digit it is left out: XR-200 is XR200."""


@cache
def is_unspaced(character: str) -> bool:
    """Whether a character belongs to a script that writes no blanks between words."""
    return bool(character) and unicodedata.name(character, "").startswith(_UNSPACED)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text (NFC) begin and end; parts joined by a hyphen, and scripts without blanks, apart."""
    spans = []
    for word in _WORD.finditer(text):
        at = word.start()
        for part in _HYPHEN.split(word.group()):
            for run in _runs(part):
                spans.append((at, at + len(run)))
                at += len(run)
            at += 1  # the hyphen
    return spans


def written_words(text: str) -> list[str]:
    """The words of a text as they are written; see `word_spans`."""
    composed = unicodedata.normalize("NFC", text)
    return [composed[begin:end] for begin, end in word_spans(composed)]


def plain_words(written: str) -> list[str]:
    """One written word as it is compared: one form, or, in scripts without blanks, its pairs of characters."""
    if is_unspaced(written[0]):
        return [written[at : at + 2] for at in range(max(len(written) - 1, 1))]
    plain = plain_word(written)
    return [plain] if plain else []


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared."""
    return [plain for word in written_words(text) for plain in plain_words(word)]


def plain_word(word: str) -> str:
    """A word without case, accents, possessive ending, elided article and inner hyphens."""
    folded = unicodedata.normalize("NFKD", _ELIDED.sub("", word)).casefold()
    bare = unicodedata.normalize("NFC", _ACCENTS.sub("", folded)).replace("’", "'")
    return re.sub(r"'s?$|[-‐‑]", "", bare)


def shared_stretch(one: str, other: str) -> str:
    """The longest stretch of whole words that two texts have in common, as the first writes it; empty when there is none.

    Of a fact and its question it is mostly what both are about: "the Halvery Bridge".
    """
    spans = word_spans(one)
    words = [tuple(plain_words(one[begin:end])) for begin, end in spans]
    others = [tuple(plain_words(other[begin:end])) for begin, end in word_spans(other)]
    at, _, size = SequenceMatcher(None, words, others, autojunk=False).find_longest_match()
    return one[spans[at][0] : spans[at + size - 1][1]] if size else ""


def has_digit(word: str) -> bool:
    """Whether a word is a number or a code."""
    return any(map(str.isdigit, word))


def _runs(word: str) -> list[str]:
    """A word in stretches of scripts with and without blanks: 云帆K3 is 云帆 and K3."""
    runs: list[str] = []
    for character in word:
        marks = runs and unicodedata.category(character)[0] == "M"
        if runs and (marks or is_unspaced(character) == is_unspaced(runs[-1][0])):
            runs[-1] += character
        else:
            runs.append(character)
    return runs
