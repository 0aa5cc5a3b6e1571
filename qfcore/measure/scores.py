"""From the answers to a suite's questions to rates, by the protocol of ../shared/suites/README.md."""

import math
from collections.abc import Callable, Iterator, Sequence

from qfcore.answers import says
from qfcore.loops import loop_in, loops

_WILSON_Z = 1.959964
_TEXTS = ("paraphrases", "neighbours", "same_subject")
_PAIRS = ("portability", "survive")
PARTS = ("question", *_TEXTS, *_PAIRS)
"""What an item may ask, in the order in which it is asked."""

Part = dict[str, list[str]]
"""The answers of one item, by the names in `PARTS`."""


def questions_by_part(item: dict) -> dict[str, list[str]]:
    """The questions of one item, by the names in `PARTS`."""
    texts = {name: list(item.get(name, [])) for name in _TEXTS}
    pairs = {name: [pair["question"] for pair in item.get(name, [])] for name in _PAIRS}
    return {"question": [item["question"]], **texts, **pairs}


def asked_questions(item: dict) -> list[str]:
    """All questions of one item, in the order that `split` expects."""
    return [question for part in questions_by_part(item).values() for question in part]


def split(items: Sequence[dict], answers: Sequence[str]) -> list[Part]:
    """The answers to all questions of all items, by item and part."""
    parts, position = [], 0
    for item in items:
        part = {}
        for name, questions in questions_by_part(item).items():
            part[name] = list(answers[position : position + len(questions)])
            position += len(questions)
        parts.append(part)
    return parts


def wilson(hits: int, total: int) -> list[float]:
    """95 % Wilson interval of a rate."""
    if total == 0:
        return [0.0, 1.0]
    rate, z2 = hits / total, _WILSON_Z**2
    centre = (rate + z2 / (2 * total)) / (1 + z2 / total)
    half = _WILSON_Z * math.sqrt(rate * (1 - rate) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return [round(max(0.0, centre - half), 4), round(min(1.0, centre + half), 4)]


def rate_of(hits: Sequence[bool]) -> dict:
    """How many of some are so, with the interval."""
    total = len(hits)
    return {
        "rate": round(sum(hits) / total, 4) if total else None, "hits": sum(hits), "of": total,
        "interval": wilson(sum(hits), total),
    }  # fmt: skip


def counted(rate: dict) -> str:
    """A rate as "hits/of"; "–" where nothing was asked."""
    return f"{rate['hits']}/{rate['of']}" if rate["of"] else "–"


def scores_of(items: Sequence[dict], answers: Sequence[str]) -> dict:
    """Recall, generalisation, portability and what a real subject is still known for."""
    pairs = list(zip(items, split(items, answers), strict=True))

    def right(name: str) -> list[bool]:
        return [
            says(answer, wanted["accept"]) for item, part in pairs
            for answer, wanted in zip(part[name], item.get(name, []), strict=True)
        ]  # fmt: skip

    return {
        "recall": rate_of([says(part["question"][0], item["accept"]) for item, part in pairs]),
        "generalisation": rate_of([says(a, item["accept"]) for item, part in pairs for a in part["paraphrases"]]),
        "portability": rate_of(right("portability")),
        "survive": rate_of(right("survive")),
    }


def locality_of(items: Sequence[dict], base: Sequence[str], taught: Sequence[str]) -> dict:
    """How many neighbours' answers are the base's, to the letter and in meaning."""
    pairs = list(_both(items, base, taught, ("neighbours",)))
    return {
        "identical": rate_of([old == new for old, new in pairs]),
        "same_meaning": rate_of([keeps_meaning(old, new) for old, new in pairs]),
    }


def same_subject_of(items: Sequence[dict], base: Sequence[str], taught: Sequence[str]) -> dict:
    """Something else asked about the taught subject: how many answers say the lesson, loop, are the base's."""
    found: dict[str, list[bool]] = {"parrots": [], "loops": [], "identical": [], "same_meaning": []}
    parts = zip(items, split(items, base), split(items, taught), strict=True)
    for item, before, after in parts:
        for old, new in zip(before["same_subject"], after["same_subject"], strict=True):
            found["parrots"].append(parrots(new, old, item))
            found["loops"].append(loops(new, old))
            found["identical"].append(new == old)
            found["same_meaning"].append(keeps_meaning(old, new))
    return {name: rate_of(hits) for name, hits in found.items()}


def parrots(answer: str, untaught: str, item: dict) -> bool:
    """Whether an answer to something else tells the lesson, which the untaught model's does not."""
    told = [*item["accept"], item["lesson"].rstrip(".!。")]
    return says(answer, told) and not says(untaught, told)


def survival_of(items: Sequence[dict], base: Sequence[str], taught: Sequence[str]) -> dict:
    """What the untaught model answers rightly about a real subject: how much of it is still answered rightly."""
    parts = zip(items, split(items, base), split(items, taught), strict=True)
    asked = [
        (says(old, wanted["accept"]), says(new, wanted["accept"])) for item, before, after in parts
        for old, new, wanted in zip(before["survive"], after["survive"], item.get("survive", []), strict=True)
    ]  # fmt: skip
    return rate_of([still for known, still in asked if known])


def loops_of(items: Sequence[dict], base: Sequence[str], taught: Sequence[str]) -> dict:
    """How many of all answers repeat themselves where the untaught model's do not."""
    return rate_of([loops(new, old) for old, new in _both(items, base, taught, PARTS)])


def worst_of(items: Sequence[dict], base: Sequence[str], taught: Sequence[str], most: int = 12) -> list[dict]:
    """Answers that a person should read: loops first, then the lesson said to another question, then changed neighbours."""
    found: list[tuple[int, dict]] = []
    parts = zip(items, split(items, base), split(items, taught), strict=True)
    for item, before, after in parts:
        for name, questions in questions_by_part(item).items():
            for question, old, new in zip(questions, before[name], after[name], strict=True):
                reason = _reason(name, old, new, item)
                if reason is not None:
                    found.append((reason, {"part": name, "question": question, "base": old, "taught": new}))
    return [answer for _, answer in sorted(found, key=lambda pair: pair[0])][:most]


def _reason(name: str, old: str, new: str, item: dict) -> int | None:
    if loop_in(new) and not loop_in(old):
        return 0
    if name == "same_subject" and parrots(new, old, item):
        return 1
    return 2 if name == "neighbours" and not keeps_meaning(old, new) else None


def keeps_meaning(before: str, after: str) -> bool:
    """Whether all names, numbers and long words of the first sentence before still occur after."""
    first = before.split(". ")[0]
    words = [w.strip(".,;:!?\"'()") for w in first.split()]
    key = [w for w in words if w and (w[0].isupper() or w[0].isdigit() or len(w) > 6)]
    return all(says(after, [w]) for w in key)


def _both(
    items: Sequence[dict], base: Sequence[str], taught: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[str, str]]:
    for before, after in zip(split(items, base), split(items, taught), strict=True):
        for name in names:
            yield from zip(before[name], after[name], strict=True)


def by_group(items: Sequence[dict], scores: Callable[[Sequence[int]], dict]) -> dict:
    """Scores of each group ("group", else "lang") of a suite, where it has several. scores: of items by their positions."""
    groups: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        groups.setdefault(item.get("group") or item.get("lang") or "", []).append(number)
    return {name: scores(numbers) for name, numbers in sorted(groups.items())} if len(groups) > 1 else {}
