"""Whether a text repeats itself: what a model says when a change of its weights has broken it, in any language."""

import numpy as np

LEAST = 12
"""Characters that a repetition fills at least: "ha ha ha" and 100,000,000 are none."""
TIMES = ((20, 2.0), (8, 3.0), (1, 4.0))
"""(characters, times): how often a stretch of at least so many characters must stand one after the other."""
LONGEST = 400
"""Characters of the longest stretch that is looked for."""
_LINES = frozenset(" \t\n-=_*~.|+#:·•—–`")
"""A run of nothing but these draws a line, a table or an indent."""


def loop_in(text: str) -> str:
    """The stretch that a text says over and over without anything in between; empty when it does not.

    "has 4744444444" says "4", "Some Some Some Some" says "Some ", and a sentence of twenty characters said twice in a row
    is enough. What a drawn line is made of does not count, nor does code that merely looks alike.
    """
    letters = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    for period in range(1, min(len(letters) // 2, LONGEST) + 1):
        times = next(times for least, times in TIMES if period >= least)
        wanted = max(LEAST, round(times * period)) - period  # equal neighbours at this distance, in a row
        begin = _run(letters[period:] == letters[:-period], wanted)
        if begin >= 0 and not _LINES.issuperset(stretch := text[begin : begin + period]):
            return stretch
    return ""


def loops(answer: str, untaught: str) -> bool:
    """Whether an answer repeats itself where the untaught model's does not."""
    return bool(loop_in(answer)) and not loop_in(untaught)


def _run(equal: np.ndarray, wanted: int) -> int:
    """Where the first run of at least `wanted` true values begins; -1 where there is none."""
    if len(equal) < wanted:
        return -1
    edges = np.flatnonzero(np.diff(np.concatenate([[False], equal, [False]]).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    found = np.flatnonzero(ends - begins >= wanted)
    return int(begins[found[0]]) if len(found) else -1
