"""Conversations: what a taught model says next, after turns that lie before it.

One line of a file is a conversation: `taught` (ids of the lessons that are live), `messages` (ending with the user's),
`must` and `never` (regular expressions for the next answer), `kind`.
"""

import re
from collections.abc import Mapping, Sequence

from qfcore.errors import LessonError
from qfcore.loops import loops
from qfcore.measure.scores import rate_of
from qfcore.routing import Routing
from qfcore.runtime.protocol import ANY_QUESTION
from qfcore.untaught import Taught, Untaught


def ask_conversations(
    untaught: Untaught, routing: Routing, conversations: Sequence[dict], ids: Mapping[str, str], *, max_tokens: int
) -> tuple[list[str], list[str]]:
    """The next answers of the untaught model and of the taught one, each with the lessons live that it names.

    ids: of the lessons, by their ids in the suite.

    Raises:
        LessonError: a conversation names a lesson that is not there.
    """
    for talk in conversations:
        if missing := set(talk["taught"]) - ids.keys():
            names = ", ".join(sorted(missing))
            raise LessonError(f"The conversation {talk.get('id', '')} wants the lessons {names}, which the suite lacks.")
    adapters = [routing.among({ids[name] for name in talk["taught"]}).of(talk["messages"]).adapter for talk in conversations]
    asked = [n for n, adapter in enumerate(adapters) if adapter]
    base, new = untaught.answers(
        [talk["messages"] for talk in conversations], max_tokens=max_tokens, like=[ANY_QUESTION] * len(conversations),
        taught=[Taught(conversations[n]["messages"], ANY_QUESTION, adapters[n]) for n in asked],
    )  # fmt: skip
    said = {**dict(enumerate(base)), **dict(zip(asked, new, strict=True))}
    return base, list(said.values())


def conversation_scores(conversations: Sequence[dict], base: Sequence[str], taught: Sequence[str]) -> dict:
    """How many answers are as they should be, in all and by kind, with the wrong ones to read."""
    asked = list(zip(conversations, base, taught, strict=True))
    right = [is_right(talk, old, new) for talk, old, new in asked]
    kinds: dict[str, list[bool]] = {}
    for talk, ok in zip(conversations, right, strict=True):
        kinds.setdefault(talk.get("kind", ""), []).append(ok)
    wrong = [
        {
            "id": talk.get("id", ""), "kind": talk.get("kind", ""), "asked": talk["messages"][-1]["content"],
            "base": old, "taught": new,
        }
        for (talk, old, new), ok in zip(asked, right, strict=True) if not ok
    ]  # fmt: skip
    rates = {"all": rate_of(right), **{kind: rate_of(hits) for kind, hits in sorted(kinds.items())}}
    return {"kinds": rates, "wrong": wrong}


def is_right(talk: dict, untaught: str, answer: str) -> bool:
    """Whether an answer has all that it must have, nothing that it must never have, and does not repeat itself."""
    missing = any(not re.search(pattern, answer) for pattern in talk.get("must", []))
    return not missing and not any(re.search(p, answer) for p in talk.get("never", [])) and not loops(answer, untaught)
