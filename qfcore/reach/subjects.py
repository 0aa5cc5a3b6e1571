"""Which token of a lesson's question says who it is about, and the detector that finds it in other messages."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qfcore.propose import Rarity
from qfcore.reach.background import CODE, Background, Turns, normed
from qfcore.reach.blocks import FIRES, Subject
from qfcore.reach.shape import HEAD, READ_AFTER
from qfcore.runtime.reading import LONGEST, ReadingModel
from qfcore.scope import scope_of
from qfcore.store.records import LessonRecord

KEPT_BY_WORDINGS = 0.8
"""Median score in a lesson's other wordings from which on a token is one that they keep."""
ORDINARY = 0.5
"""Highest score in what people ordinarily ask that a subject's token may have."""
CODES_TRIED = 6


@dataclass(frozen=True)
class Wording:
    """A way to ask for a lesson: the message's low residuals (N, D), and where each token ends in its text (N)."""

    text: str
    residuals: np.ndarray
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """A lesson's subject: its detector, and its residuals in the lesson's own wordings (N, D).

    also: residuals (D,) of other words of the lesson that are so rare that each is enough ("On which airship does Tobin
    Averescu work?").
    """

    record: LessonRecord
    w: np.ndarray
    b: float
    residuals: np.ndarray
    also: tuple[np.ndarray, ...] = ()

    def fires_on(self, residuals: np.ndarray) -> bool:
        """Whether the detector finds its subject in most of some residuals (N, D)."""
        return float(np.median(residuals @ self.w + self.b)) > FIRES - 0.1


def read_wordings(reader: ReadingModel, turns: Turns, record: LessonRecord) -> list[Wording]:
    """The lesson's questions, its own first, and its text as a message; without those too long to be read at once."""
    name, read = f"l_out-{READ_AFTER - 1}", []
    for text in dict.fromkeys([*(phrasing.question for phrasing in record.phrasings), record.lesson.text]):
        prompt = reader.tokens(text)
        if len(prompt) > LONGEST:
            continue
        message = turns.message(prompt)
        pieces = [reader.model.piece(token) for token in prompt[message]]
        ends = tuple(int(end) for end in np.cumsum([len(piece) for piece in pieces]))
        read.append(Wording(text, reader.read(prompt, [name])[name][message].astype(np.float64), ends))
    return read


def find_subject(
    background: Background, record: LessonRecord, wordings: Sequence[Wording], rarity: Rarity
) -> Found:
    """The detector of the token that the lesson's wordings keep and ordinary messages have not.

    Among those, one of the word that the lesson is named by, the last one of it; without any, the one that stands out most.
    """
    own, others = wordings[0], wordings[1:]
    scope = scope_of(record.lesson, [phrasing.question for phrasing in record.phrasings], rarity)
    named = _within(own, scope.head)
    rated = []
    for place, residual in enumerate(own.residuals):
        w, b = background.detector(residual)
        kept = float(np.median([(o.residuals @ w + b).max() for o in others])) if others else 1.0
        usual = float((background.ordinary @ w + b).max())
        sound = kept > KEPT_BY_WORDINGS and usual < ORDINARY
        rated.append(((sound and place in named, sound, place if sound and place in named else kept - usual), w, b))
    _, w, b = max(rated, key=lambda one: one[0])
    seen = [o.residuals[int((o.residuals @ w).argmax())] for o in wordings if (o.residuals @ w + b).max() > FIRES]
    w, b = background.detector(np.mean(seen, axis=0))
    also = [_word(background, wordings, word) for word in sorted(scope.rare - {scope.head})]
    return Found(record, w, b, np.array(seen), tuple(one for one in also if one is not None))


def _word(background: Background, wordings: Sequence[Wording], word: str) -> np.ndarray | None:
    """The mean residual of a word's last token in the wordings that have it; None where ordinary messages have it, too."""
    seen = [o.residuals[max(inside)] for o in wordings if (inside := _within(o, word))]
    if not seen:
        return None
    mean = np.mean(seen, axis=0)
    w, b = background.detector(mean)
    return mean if float((background.ordinary @ w + b).max()) < ORDINARY else None


def _within(wording: Wording, word: str) -> set[int]:
    """The tokens that end inside a word of the text, or with it."""
    found, text, lowered = set(), wording.text, wording.text.casefold()
    begin = lowered.find(word.casefold()) if word else -1
    while begin >= 0:
        first, last = (len(text[:at].encode()) for at in (begin, begin + len(word)))
        found |= {place for place, end in enumerate(wording.ends) if first < end <= last}
        begin = lowered.find(word.casefold(), begin + 1)
    return found


def grouped(found: Sequence[Found]) -> list[list[Found]]:
    """Lessons about one subject together: those whose detectors find each other's. Their changes act at one code."""
    groups: list[list[Found]] = []
    for one in sorted(found, key=lambda f: f.record.number):
        same = [g for g in groups if any(o.fires_on(one.residuals) or one.fires_on(o.residuals) for o in g)]
        groups = [g for g in groups if all(g is not s for s in same)] + [[*(o for g in same for o in g), one]]
    return groups


def subject_of_group(reader: ReadingModel, turns: Turns, background: Background, group: Sequence[Found]) -> Subject:
    """One detector and one code for lessons about one subject.

    Codes are drawn from the first lesson's id. The layers above weaken some of them, so a few are tried on the lesson's own
    question, and the one that arrives best is taken.
    """
    detectors = [background.detector(np.concatenate([found.residuals for found in group]).mean(axis=0))]
    detectors += [background.detector(word) for found in group for word in found.also]
    record = min((found.record for found in group), key=lambda record: record.id)
    texts = [*(phrasing.question for phrasing in record.phrasings), record.lesson.text]
    prompt = next(prompt for text in texts if len(prompt := reader.tokens(text)) <= LONGEST)
    codes = [_code(record.id, number) for number in range(CODES_TRIED)]
    tried = [(code, _arrived(reader, turns, background, prompt, code)) for code in codes]
    return Subject(detectors, *max(tried, key=lambda one: one[0] @ one[1]))


def _code(lesson_id: str, number: int) -> np.ndarray:
    bits = hashlib.shake_256(f"qf-code-1:{lesson_id}:{number}".encode()).digest(HEAD // 8)
    return np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.float64) * 2.0 - 1.0


def _arrived(
    reader: ReadingModel, turns: Turns, background: Background, prompt: Sequence[int], code: np.ndarray
) -> np.ndarray:
    """(K,) what can be read after the last layer of a code at the end of the turn."""
    low, final, at = f"l_out-{READ_AFTER - 1}", f"l_out-{reader.model.n_layer - 1}", turns.closing(prompt)
    added = (background.quiet @ code * (CODE / np.sqrt(HEAD))).astype(np.float32)
    x = normed(reader.read(prompt, [final], added={low: [(at, added)]})[final][at].astype(np.float64))
    return background.code @ x + background.code_bias
