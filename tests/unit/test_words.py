"""Every word that the window shows stands in app/words.py, where it can be translated."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = ("app/panels", "app/present", "app/events")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.py"))
_TAGS, _WORDS = re.compile(r"<[^>]*>?|[\w-]+=\"[^\"]*\"?"), re.compile(r"[A-Za-z]{3,}\W? [a-z]{2,}|^\W*[A-Z][a-z]{2,}\W*$")
_OURS = re.compile(r"^_[A-Z_]+$")
"""JavaScript stands in constants of a module."""


def _texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """Strings that could be shown: no docstrings, and no constants of the module."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                skipped.add(id(statement.value))
            if isinstance(statement, ast.Assign) and all(_OURS.match(getattr(t, "id", "")) for t in statement.targets):
                skipped |= {id(inner) for inner in ast.walk(statement.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_words_beside_the_file_of_words(path: Path) -> None:
    shown = [
        f"line {node.lineno}: {node.value!r}" for node in _texts(ast.parse(path.read_text()))
        if _WORDS.search(_TAGS.sub("", node.value).strip())
    ]  # fmt: skip
    assert shown == []
