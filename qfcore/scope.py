"""Which lessons a conversation is about: only their change of the weights is active while it is answered.

Knowledge at one edited layer is a function of a set (DESIGN.md 3, fact 3), so the weights of any subset of a
version's lessons are one solve away. This module says whether a message mentions what a lesson is about. For the default
model that makes a lesson a candidate, and qfcore/choosing.py decides; for models of which nothing was measured it decides.
Other editors with a scope or a router: SERAC (arXiv 2206.06520), GRACE (2211.11031), WISE (2405.14768). Ours compares words,
so it can be explained, costs no pass of the model, and depends on the lesson and the tokenizer only.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from qfcore.lesson import Lesson
from qfcore.wording import has_digit, is_unspaced, plain_word, plain_words, word_spans, words_of, written_words

Rarity = Callable[[str], float]
"""How rare a word is, as a tokenizer sees it: a common word is one token with a low id, a rare one several."""

WITH_HEAD, WITHOUT_HEAD = 0.25, 0.6
"""Share of the question's rarity that must be mentioned, with and without the word that the lesson is named by."""
NAME, NUMBER = 1.5, 0.5
"""How much more a word counts that is written like a name (a capital letter inside the sentence), and how much less a
number: it has many tokens, but is oftener the answer than the subject."""
TURNED_ROUND = 0.5
"""Share of what a lesson tells of its subject that must be mentioned where the subject itself is not."""
RARE, VERY_RARE = 18.0, 25.0
"""Rarity from which a question's and a lesson's word is enough by itself (two and three tokens, about)."""
UNUSUAL = 14.0
"""Rarity from which a word is no common one: those are one token, and have common synonyms ("physician", "doctor")."""
ALIKE = 0.85
"""Similarity from which two spellings of five letters and more count as one word (plurals, slips of the keyboard)."""
PART = 0.4
"""Share of the names' rarity that is enough where it is written as a name by itself: "Kafka" for "Franz Kafka"."""
SLIP = 0.75
"""The same for the words of a name of which another word agrees: there a slip is likelier than another name."""
_STOP = frozenset(
    "a about all also am an and any are as at be because been but by called can complete could did do does each else "
    "every for from get give had has have he her here hey him his how i if in into is it its just know like make many "
    "may me more most much must my name named no nobody not of on one only or our out please sentence she should so "
    "some such tell than that the their them then there these they this those to too up us use used was way we were "
    "what when where which while who whom whose why will with word words would you your"
    .split()
)
_CONNECTORS = frozenset("al bin da de del della den der di el ibn la le of the van von".split())
"""Words that may stand inside a name: "Duke of Northumberland"."""
_TITLES = frozenset("aunt brother captain dr grandfather grandmother king lady lord miss mr mrs ms pope president prof "
                    "professor queen saint sir sister st uncle".split())  # fmt: skip
"""Words beside a name that do not make it another one: "Dr. Karlsen" is "Professor Karlsen"."""
_BEFORE_A_WORD = frozenset("a an term word".split())
_OPENERS = frozenset(
    "according after again although are because before compare define describe discuss does during explain find guess "
    "hello help hey hi imagine introduce is list maybe mention now ok okay perhaps recall remember remind say show since "
    "summarize summarise suppose thanks think though today tomorrow translate was were while yes yesterday".split()
)
"""Words that often begin a sentence, where a capital letter makes no name."""
_STRETCH = re.compile(r"(?<![A-Z.?!])[.?!]+(?=\s|$)|[,;:()\n\"“”]+")
_SENTENCE = re.compile(r"(?<=[^A-Z][.?!])\s+|\n+")
_ASKS, _CLAUSE = re.compile("[?？؟;]"), re.compile(r"[,;&，、،]\s*")
_ORDER = re.compile(
    r"(always|never|please|from now on|answer|reply|respond|speak|write|use|avoid|call me|do not|don't|"
    r"you (are|must|should|may)|your (name|answers|replies)|when(ever)? (you|asked|i)|if (you|asked|i))\b",
    re.IGNORECASE,
)


OPEN_QUESTION = "What do you know about {subject}?"
"""Asked of a lesson when the model finds no question for it; it fits all lessons about a subject."""


@dataclass(frozen=True)
class Said:
    """What a message says, read once for all lessons.

    words: as scopes compare them. entities: names ("Franz Kafka"), each as its words. sentence: whether it is a single one.
    """

    words: tuple[str, ...]
    entities: tuple[frozenset[str], ...]
    sentence: bool = True


def said_in(text: str) -> list[Said]:
    """Read a message: as a whole, and each of its sentences, which may speak of something else."""
    sentences = [part for part in _SENTENCE.split(text) if part.strip()]
    parts = [text] if len(sentences) < 2 else [text, *sentences]
    return [Said(tuple(words_of(part)), tuple(_entities(part)), part is not text or len(parts) == 1) for part in parts]


def questions_in(text: str) -> list[str]:
    """The questions of a message, and what stands between commas in them: several things may be asked for at once."""
    sentences = [part.strip() for part in _SENTENCE.split(text) if _ASKS.search(part)]
    clauses = [clause.strip() for sentence in sentences for clause in _CLAUSE.split(sentence)]
    return list(dict.fromkeys([*sentences, *clauses]))


@dataclass(frozen=True)
class Scope:
    """When a lesson applies.

    head: the word it is named by. weights: rarity of the words of its question. names: those written like names.
    rare: words, of the lesson too, each of which is enough by itself. entities: the lesson's names, each as its words.
    told: rarity of the words that it tells of its subject. asked: the words of its question. defined: where the question
    is about an unusual word ("What is a sorvel?"), that word and the next one. known: all words of lesson and question.
    always: an instruction, which applies everywhere. question: one that it answers; empty where only an open one is known.
    answer: what is said to it. studied: all questions that the lesson was studied with.
    """

    head: str
    weights: dict[str, float]
    names: frozenset[str] = frozenset()
    rare: frozenset[str] = frozenset()
    entities: tuple[frozenset[str], ...] = ()
    told: dict[str, float] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    defined: tuple[str, str] | None = None
    known: frozenset[str] = frozenset()
    rarity: Rarity | None = field(default=None, compare=False, repr=False)
    always: bool = False
    question: str = ""
    answer: str = ""
    studied: frozenset[str] = frozenset()

    def covers(self, said: Sequence[Said]) -> bool:
        """Whether a message (of `said_in`) mentions what the lesson is about."""
        return self.always or any(map(self._mentioned, said))

    def asks_for_subject(self, said: Sequence[Said]) -> bool:
        """Whether a question names what the lesson tells, and not the subject."""
        return any(self.head not in part.words and self._turned_round(part.words) for part in said)

    def _mentioned(self, said: Said) -> bool:
        same = [self._is_same(entity) for entity in said.entities]
        words = said.words
        if False in same:
            others = set().union(*(e for e, verdict in zip(said.entities, same, strict=True) if verdict is False))
            words = tuple(word for word in words if word not in others)
        if not (self.rare - self.weights.keys()).isdisjoint(words):
            return True
        found = _found(self.weights, words)
        share = sum(self.weights[key] for key in found) / (sum(self.weights.values()) or 1.0)
        if said.sentence and self._turned_round(words):
            return True
        if self.names and self.names.isdisjoint(found) and said.entities:
            return False  # the same verb, said of somebody else
        if self.defined and self.defined[0] not in found and self._asks_about_another(words):
            return False  # the same question about another word
        if not self._named(found, PART if True in same else 0.5):
            return self.head in found and self.head in self.rare and share >= WITH_HEAD
        return share >= (WITH_HEAD if self.head in found or True in same else WITHOUT_HEAD)

    def _turned_round(self, words: Sequence[str]) -> bool:
        """Whether a message tells what the lesson tells and leaves its subject open: "Which bridge has 47 arches?"."""
        if self.told.keys().isdisjoint(words) or (self.told.keys() - self.asked).isdisjoint(words):
            return False
        found = _found(self.told, words)
        share = sum(self.told[key] for key in found) / sum(self.told.values())
        return share >= TURNED_ROUND and len(found) > 1

    def _asks_about_another(self, words: Sequence[str]) -> bool:
        """Whether a message asks about another unusual word what the question asks about its own."""
        other = _defined(words, self.rarity)
        return bool(other) and other[1] == self.defined[1] and not _found(self.known, other[:1], SLIP)

    def _is_same(self, entity: frozenset[str]) -> bool | None:
        """Whether a name is one of the lesson's, or another one that has a word in common with it; None for neither.

        "Franz Adickes" is not "Franz Kafka"; "Kafka" may be, and "Pope Clement XII" is "Clement XII".
        """
        touching = [own for own in self.entities if _found(own, entity)]
        if not touching:
            return None
        return any(_found(own, entity, SLIP) == own or _found(entity, own, SLIP) == entity for own in touching)

    def _named(self, found: set[str], least: float) -> bool:
        """Whether enough of the names is mentioned: "otis taylor" is not "otis williams"."""
        total = sum(self.weights[name] for name in self.names)
        return not self.names or sum(self.weights[name] for name in self.names & found) > least * total


def _found(keys: Iterable[str], said: Iterable[str], alike: float = ALIKE) -> set[str]:
    return {key for key in keys if any(_alike(key, word, alike) for word in said)}


def _defined(words: Sequence[str], rarity: Rarity) -> tuple[str, str] | None:
    """The unusual word that a question is about, and the next one that is not common to all questions (empty: none is).

    "What is a sorvel?", "What does oskery mean?", but not "Who choreographed it?": a verb may be replaced by another.
    """
    first = next((n for n, word in enumerate(words) if word not in _STOP), None)
    if not first or rarity(words[first]) < UNUSUAL:
        return None
    following = next((word for word in words[first + 1 :] if word not in _STOP), "")
    before = words[first - 1]
    return (words[first], following) if before in _BEFORE_A_WORD or (before == "does" and following == "mean") else None


def is_instruction(lesson: Lesson) -> bool:
    """Whether a lesson says how to answer, not what is so: nobody asks for it, and it begins like an order."""
    return not lesson.question and not lesson.answer and bool(_ORDER.match(lesson.text))


def scope_of(lesson: Lesson, questions: Sequence[str], rarity: Rarity) -> Scope:
    """The scope of a lesson that was taught with these questions, the first being its own."""
    if is_instruction(lesson):
        return Scope("", {}, always=True)
    text = _weights(lesson.text, rarity)
    first = questions[0] if questions else lesson.text
    asked = "" if first.startswith(OPEN_QUESTION.partition("{")[0]) else first
    shared = max((text.get(word, 0.0) for word in words_of(first)), default=0.0)
    common_only = not _weights(first, rarity)  # "What is my name?"
    if not lesson.question and text and not common_only and shared < max(text.values()) / 2:
        first = lesson.text  # the model wrote a question that does not name the subject
    weights = _weights(first, rarity)
    if not weights:  # a question of common words only
        return Scope("", dict.fromkeys(words_of(first), 1.0), question=asked)
    names, named = _names(first) & weights.keys(), _names(lesson.text)
    # The word it is named by is one that the question's other wordings keep; a question turned round is none of them.
    others = [set(words_of(other)) for other in (*questions[1:], lesson.text)]
    others = [other for other in others if not names or names & other] or [set(weights)]
    head = max(weights, key=lambda w: weights[w] * (0.5 + 0.5 * sum(w in o for o in others) / len(others)))
    rare = {word for word, weight in text.items() if word in named and weight / NAME >= VERY_RARE}
    if weights[head] / (NAME if head in names else 1.0) >= RARE:
        rare.add(head)
    subject = _names(first) | {head}
    told = {word: weight for word, weight in text.items() if word not in subject}
    entities = dict.fromkeys([*_entities(first), *_entities(lesson.text)])
    own = words_of(first)
    defined = _defined(own, rarity)
    defined = None if defined and defined[0] in names else defined
    known = frozenset([*text, *own])
    return Scope(
        head, weights, frozenset(names), frozenset(rare), tuple(entities), told, frozenset(own), defined, known, rarity,
        question=asked,
    )  # fmt: skip


def subject_of(lesson: Lesson, scope: Scope) -> str:
    """What a lesson is named by, as its text writes it: a name whole, else the word; empty where the text has neither."""
    name = next((entity for entity in scope.entities if scope.head in entity), frozenset()) | {scope.head}
    spans = word_spans(lesson.text)
    inside = [not name.isdisjoint(plain_words(lesson.text[begin:end])) for begin, end in spans]
    head = next((n for n, span in enumerate(spans) if scope.head in plain_words(lesson.text[slice(*span)])), None)
    if head is None:
        return ""
    first = last = head
    while first and inside[first - 1] and _stand_together(lesson.text, spans[first - 1], spans[first]):
        first -= 1
    while last + 1 < len(spans) and inside[last + 1] and _stand_together(lesson.text, spans[last], spans[last + 1]):
        last += 1
    return lesson.text[spans[first][0] : spans[last][1]]


def _stand_together(text: str, one: tuple[int, int], other: tuple[int, int]) -> bool:
    between = text[one[1] : other[0]]
    return not between or between.isspace() or between in "-‐‑"


def _weights(text: str, rarity: Rarity) -> dict[str, float]:
    """Rarity of the words of a text that are not common to all questions; names count more."""
    weights: dict[str, float] = {}
    names = _names(text)
    for word in written_words(text):
        for plain in plain_words(word):
            if plain not in _STOP:
                # "Edward Said": a name that is also a common word names little.
                rare = rarity(plain) if is_unspaced(plain[0]) else min(rarity(word), rarity(word.lower()))
                factor = NUMBER if plain.replace(".", "").isdigit() else NAME if plain in names else 1.0
                weights[plain] = max(weights.get(plain, 0.0), rare * factor)
    return weights


def _names(text: str) -> set[str]:
    """Words written like names or codes, the first one of the text left out: it is always written so."""
    words = written_words(text)[1:]
    return {plain_word(w) for w in words if w[0].isupper() or (has_digit(w) and any(map(str.isalpha, w)))}


def _entities(text: str) -> list[frozenset[str]]:
    """Names in a text: words written with a capital letter or digit that stand together; titles and openers left out."""
    entities: list[frozenset[str]] = []
    for stretch in _STRETCH.split(text):
        run: list[str] = []
        for word in [*written_words(stretch), ""]:
            plain = plain_word(word)
            if word and (word[0].isupper() or word[0].isdigit()) and (run or plain not in _STOP):  # "Richard I" is a name
                run.append(plain)
            elif not run or plain not in _CONNECTORS:
                entities.append(frozenset(run) - _TITLES - _OPENERS)
                run = []
    return [entity for entity in entities if entity]


def is_common(word: str) -> bool:
    """Whether a word is common to all questions, so that a capital letter makes no name of it."""
    return word.casefold() in _STOP


def content_of(text: str) -> list[str]:
    """The words of a text, as `words_of`, that are not common to all questions."""
    return [word for word in words_of(text) if word not in _STOP]


def _alike(one: str, other: str, least: float) -> bool:
    if one == other:
        return True
    if min(len(one), len(other)) < 5 or one[0] != other[0] or abs(len(one) - len(other)) > 3:
        return False
    if has_digit(one):
        return False
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= least
