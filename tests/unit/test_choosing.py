"""Which lessons a conversation calls for: candidates by words and vectors, and what the model's comparison decides."""

from unittest.mock import MagicMock

from qfcore.choosing import MOST_ALIKE, MOST_MENTIONED, READ_AT_ONCE, Chooser
from qfcore.lesson import check_lesson
from qfcore.match import Match
from qfcore.relation import SHOWN, Asked
from qfcore.scope import Scope, scope_of

FAIR, FARE, NAME = "When was the Quenby fair first held?", "What is the fare to Quenby?", "What is my name?"
YES, NEAR, NO = Match(0.9, 0.9), Match(0.9, -0.52), Match(0.9, -1.5)
ANOTHER = Match(-0.8, 0.4)
"""The same question about another subject."""


class _Vectors:
    """Likeness to the lessons' questions, by message."""

    def __init__(self, likeness: dict[str, dict[str, float]]) -> None:
        self.likeness, self.read = likeness, []

    def of(self, message: str) -> Asked:  # noqa: D102
        self.read.append(message)
        if message in (FAIR, FARE, NAME) or message.startswith("question"):
            return _Question(message)
        return _Message(self.likeness.get(message, {}))

    def known(self, message: str) -> Asked | None:  # noqa: D102
        return self.of(message) if message in self.read or message in (FAIR, FARE, NAME) else None


class _Question(str):
    __slots__ = ()

    def like(self, question: str) -> float:  # noqa: D102
        return float(self == question)


class _Message(dict):
    def like(self, question: str) -> float:  # noqa: D102
        return self.get(question, 0.0)


class _Compared:
    """What the model says of (question, message) alone, and with what came before."""

    def __init__(self, alone: dict, after: dict | None = None) -> None:
        self.alone, self.after, self.asked = alone, after or {}, []

    def of(self, question: str, message: str, before: list = ()) -> Match:  # noqa: D102
        self.asked.append((question, message))
        return (self.after if before else self.alone).get((question, message), NO)


def _scope(question: str, head: str, **more: object) -> Scope:
    return Scope(head, {head: 1.0} if head else {"name": 1.0}, question=question, answer=f"To {question}",
                 studied=frozenset([question]), **more)  # fmt: skip


SCOPES = {("fair", "1"): _scope(FAIR, "fair"), ("fare", "1"): _scope(FARE, "fare"), ("name", "1"): _scope(NAME, "")}


def _chosen(
    likeness: dict, alone: dict, *said: str, after: dict | None = None, scopes: dict | None = None
) -> tuple[set[str], list[str], list[str], _Compared]:
    """Ids of the active lessons, the questions of those that answer, what is heard, and what was compared."""
    compared = _Compared(alone, after)
    scopes = scopes or SCOPES
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
    choice = Chooser(sorted(scopes), scopes, _Vectors({said[-1]: likeness}), compared).of(messages)
    heard = [m["content"] for m in choice.heard]
    return {entry[0] for entry in choice.active}, [scope.question for scope in choice.answering], heard, compared


def test_a_mentioned_subject_is_not_enough_and_its_question_in_other_words_is() -> None:
    message = "Since when is there a fair?"
    assert _chosen({FAIR: 0.8}, {(FAIR, message): YES}, message)[:3] == ({"fair"}, [FAIR], [message])
    assert _chosen({FAIR: 0.8}, {(FAIR, message): NO}, message)[:2] == (set(), [])
    assert _chosen({FAIR: 0.1}, {(FAIR, message): YES}, message)[3].asked == []  # nothing like it: never compared
    assert _chosen({}, {}, "What is red?")[3].asked == []


def test_the_same_question_about_another_subject_calls_for_nothing() -> None:
    message = "When was the York fair first held?"
    assert _chosen({FAIR: 1.0}, {(FAIR, message): ANOTHER}, message)[:2] == (set(), [])


def test_what_may_follow_from_a_lesson_gets_its_weights_and_not_its_answer() -> None:
    message = "How old is the fair?"
    assert _chosen({FAIR: 0.55}, {(FAIR, message): NEAR}, message)[:2] == ({"fair"}, [])


def test_no_word_in_common_is_needed() -> None:
    assert _chosen({NAME: 0.7}, {(NAME, "Who am I?"): YES}, "Who am I?")[:2] == ({"name"}, [NAME])
    assert _chosen({NAME: 0.3}, {(NAME, "Who am I?"): YES}, "Who am I?")[:2] == (set(), [])  # mentioned, 0.2 would do


def test_a_subject_that_is_not_named_has_to_be_surer() -> None:
    half = {(NAME, "Who am I?"): Match(0.9, -0.4), (FAIR, "A fair since?"): Match(0.9, -0.4)}
    assert _chosen({NAME: 0.7}, half, "Who am I?")[:2] == (set(), [])
    assert _chosen({FAIR: 0.7}, half, "A fair since?")[:2] == ({"fair"}, [FAIR])
    assert _chosen({NAME: 0.9}, {(NAME, "Who am I?"): Match(0.1, 0.9)}, "Who am I?")[:2] == (set(), [])


def test_a_studied_question_is_not_compared_and_its_own_weights_answer() -> None:
    active, answering, _, compared = _chosen({FAIR: 1.0}, {}, FAIR)
    assert (active, answering, compared.asked) == ({"fair"}, [], [])


def test_an_instruction_is_always_active_and_then_no_answer_is_put_in() -> None:
    message = "Since when is there a fair?"
    scopes = {**SCOPES, ("order", "1"): Scope("", {}, always=True)}
    assert _chosen({FAIR: 0.8}, {(FAIR, message): YES}, message, scopes=scopes)[:2] == ({"fair", "order"}, [])


def test_a_long_text_gets_no_answer_put_in() -> None:
    message = "the fair " * SHOWN
    assert _chosen({FAIR: 0.8}, {(FAIR, message): YES}, message)[:2] == ({"fair"}, [])


def test_a_question_turned_round_is_found_by_what_it_tells() -> None:
    scopes = {("bridge", "1"): _scope("How many arches?", "halvery", told={"47": 1.0, "arches": 1.0})}
    message = "Which bridge has 47 arches?"
    vectors = _Vectors({message: {"How many arches?": 0.6}})
    vectors.read.append("How many arches?")
    vectors.of = lambda text: _Question(text) if text == "How many arches?" else _Message({"How many arches?": 0.6})
    choice = Chooser(sorted(scopes), scopes, vectors, _Compared({})).of([{"role": "user", "content": message}])
    assert [entry[0] for entry in choice.active] == ["bridge"] and not choice.answering


def test_what_goes_on_from_an_earlier_message_is_compared_with_it() -> None:
    said = ("I love the fair.", "So do I.", "And since when?")
    half = {(FAIR, said[-1]): Match(-0.5, 0.3)}
    found = _chosen({}, half, *said, after={(FAIR, said[-1]): YES})
    assert found[:3] == ({"fair"}, [FAIR], list(said))
    # It names a subject of its own: alone it is about something else, however it reads with the turn before.
    changed = _chosen({}, {(FAIR, said[-1]): Match(-0.6, -0.9)}, *said, after={(FAIR, said[-1]): Match(0.1, 0.2)})
    assert changed[:2] == (set(), [])
    assert _chosen({}, {}, "I love York.", "So do I.", "And since when?")[3].asked == []


def test_two_subjects_are_answered_in_the_messages_order_and_of_one_subject_the_surest() -> None:
    message = "The fare? And the fair?"
    both = {(FAIR, message): YES, (FARE, message): YES}
    assert _chosen({FAIR: 0.8, FARE: 0.7}, both, message)[1] == [FARE, FAIR]
    scopes = {("a", "1"): _scope(FAIR, "fair"), ("b", "1"): _scope(FARE, "fair")}
    message = "A fair? B fair?"
    surer = {(FAIR, message): Match(0.9, 0.2), (FARE, message): YES}
    assert _chosen({FAIR: 0.8, FARE: 0.7}, surer, message, scopes=scopes)[1] == [FARE]


def test_a_bound_number_of_lessons_is_compared_the_likeliest_first() -> None:
    scopes = {(f"l{n}", "1"): _scope(f"question {n}", "fair" if n % 2 else f"w{n}") for n in range(20)}
    likeness = {f"question {n}": 0.5 + n / 100 for n in range(20)}
    vectors = _Vectors({"A fair?": likeness})
    vectors.read += list(likeness)
    compared = _Compared({})
    Chooser(sorted(scopes), scopes, vectors, compared).of([{"role": "user", "content": "A fair?"}])
    asked = [question for question, _ in compared.asked]
    assert asked == [f"question {n}" for n in (19, 17, 15, 13, 18, 16, 14)]  # those it mentions first
    assert len(asked) == MOST_ALIKE + MOST_MENTIONED


def test_a_few_questions_that_were_never_read_are_read_at_a_message() -> None:
    scopes = {(f"l{n}", "1"): _scope(f"question {n}", f"w{n}") for n in range(9)}
    vectors = _Vectors({})
    chooser = Chooser(sorted(scopes), scopes, vectors, _Compared({}))
    for known in (READ_AT_ONCE, 2 * READ_AT_ONCE, 9):
        chooser.of([{"role": "user", "content": "x"}])
        assert len([text for text in set(vectors.read) if text.startswith("question")]) == known


def test_a_lesson_of_which_only_an_open_question_is_known_is_found_by_its_words_alone() -> None:
    lesson = check_lesson("The machine on floor three is named Bertha.")
    scope = scope_of(lesson, ["What do you know about Bertha?"], lambda word: 8.0 * len(word) / 3)
    assert scope.question == ""
    chooser = Chooser([("m", "1")], {("m", "1"): scope}, _Vectors({}), _Compared({}))
    assert chooser.of([{"role": "user", "content": "Who is Bertha?"}]).active == (("m", "1"),)


def test_a_model_of_which_nothing_was_measured_goes_by_the_words() -> None:
    for relations, matches in ((None, None), (MagicMock(), None)):
        chooser = Chooser(sorted(SCOPES), SCOPES, relations, matches)
        choice = chooser.of([{"role": "user", "content": "What to wear at the fair?"}])
        assert [entry[0] for entry in choice.active] == ["fair"] and not choice.answering
