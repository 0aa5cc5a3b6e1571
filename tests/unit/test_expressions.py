"""No regular expression of ours can be made to run for long (ReDoS)."""

import ast
import re
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

SIZE = 100_000
SECONDS = 1.0
ATTACKS = {
    "one letter": "a", "blanks": " ", "lines": "\n", "dots": ".", "digits": "0", "words": "a ",
    "brackets": "(", "marks": "<|",
    "quotes": '"', "sentences": "A. ", "hyphens": "a-", "undo": "Undid version 1: ", "lists": "- ",
    "stars": "*", "html": "<a ",
    "colons": "v1:", "name": "a.b", "not ascii": "é", "hidden": "\u202e", "escapes": "\\",
}  # fmt: skip


def expressions() -> dict[str, str]:
    """Every pattern that is written out in a call of `re`, by file and line."""
    found = {}
    for path in [*(ROOT / "app").rglob("*.py"), *(ROOT / "qfcore").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr != "escape":
                try:
                    found[f"{path.relative_to(ROOT)}:{node.lineno}"] = ast.literal_eval(node.args[0])
                except ValueError:  # built at run time
                    continue
    return found


@pytest.mark.parametrize("place", expressions())
def test_it_is_fast_on_a_long_text(place: str) -> None:
    pattern = re.compile(expressions()[place])
    for name, unit in ATTACKS.items():
        text = (unit * (SIZE // len(unit) + 1))[:SIZE]
        for attack in (text, text + "!", "A" + text, text + "\x00"):
            started = time.process_time()
            pattern.search(attack)
            pattern.fullmatch(attack)
            pattern.sub("", attack)
            spent = time.process_time() - started
            assert spent < SECONDS, f"{place}: {pattern.pattern!r} took {spent:.1f} s on {name}"


def test_they_are_found() -> None:
    assert len(expressions()) > 10 and any(place.startswith("app/") for place in expressions())
    assert Path(ROOT / "qfcore/hidden.py").exists()
