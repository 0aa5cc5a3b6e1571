"""What was checked, and what did not match."""

from collections.abc import Mapping, Sequence

from app import words
from app.present.common import chip, escape, table


def proof(head: str, checked: Mapping[str, int], problems: Sequence[str]) -> str:
    """One row for each kind of thing that was checked, then the problems."""
    rows = [
        f"<tr><td>{escape(words.CHECKED.get(name, name))}</td><td>{count:,}</td></tr>" for name, count in checked.items()
    ]
    wrong = "".join(f'<li class="qf-bad">{escape(problem)}</li>' for problem in problems)
    return chip(head) + table((), rows) + (f"<ul>{wrong}</ul>" if wrong else "")
