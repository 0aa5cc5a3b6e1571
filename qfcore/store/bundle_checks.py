"""What a bundle's manifest must look like, beyond its hashes: whoever forges one can derive the hashes anew."""

import json
import math
import re
from collections.abc import Iterable
from datetime import datetime

from qfcore.errors import BundleError
from qfcore.lesson import MAX_CHARACTERS, Phrasing
from qfcore.store.names import LIVE, is_name

COLUMNS: dict[str, dict[str, type]] = {
    "lessons": {"number": int, "id": str, "text": str, "question": str, "answer": str, "source": str, "created_at": str},
    "rows": {"digest": str, "lesson_id": str, "recipe": str, "phrasings": str, "evidence": str, "created_at": str},
    "versions": {
        "number": int, "hash": str, "content": str, "kind": str, "message": str, "parent": int, "created_at": str,
        "solve": str,
    },
    "version_lessons": {"version": int, "lesson_id": str, "rows_digest": str},
    "reports": {"version": int, "report": str},
    "refs": {"name": str, "version": int, "kind": str},
    "current": {"id": int, "branch": str},
}  # fmt: skip
_KEYS = {
    "lessons": (("number",), ("id",)), "rows": (("digest",), ("lesson_id", "recipe")), "versions": (("number",), ("hash",)),
    "version_lessons": (("version", "lesson_id"),), "reports": (("version",),), "refs": (("name",),), "current": (("id",),),
}  # fmt: skip
_LARGEST = 2**62
_LONGEST = {"source": 300, "recipe": 64, "kind": 20, "name": 64, "branch": 64, "message": 2 * MAX_CHARACTERS}
MAX_PHRASINGS = 64
_HEX = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z][a-z0-9-]*")
_POSITIVE = ("ridge", "replay_weight", "replay_first_weight")


def check_tables(tables: dict[str, list]) -> dict[str, list[tuple]]:
    """Rows of the form that QF Chat writes.

    Raises:
        BundleError: another type, a duplicate, a text that is too long or a time that is none.
    """
    checked = {name: [_row(name, values) for values in tables[name]] for name in COLUMNS}
    for name, keys in _KEYS.items():
        places = {column: index for index, column in enumerate(COLUMNS[name])}
        for key in keys:
            found = [tuple(row[places[column]] for column in key) for row in checked[name]]
            if len(set(found)) != len(found):
                raise BundleError(f"The bundle's table {name} holds the same {' and '.join(key)} twice.")
    return checked


def _row(table: str, values: object) -> tuple:
    columns = COLUMNS[table]
    if not isinstance(values, list) or len(values) != len(columns):
        raise BundleError(f"The bundle's table {table} has a row of another form than expected.")
    for (column, kind), value in zip(columns.items(), values, strict=True):
        if column == "parent" and value is None:
            continue
        if type(value) is not kind:
            raise BundleError(f"The bundle's table {table} has {value!r:.60} as {column}, {kind.__name__} was expected.")
        _check_value(table, column, value)
    return tuple(values)


def _check_value(table: str, column: str, value: int | str) -> None:
    if isinstance(value, int):
        if not 0 <= value < _LARGEST:
            raise BundleError(f"The bundle's table {table} has {value} as {column}, which no number of QF Chat is.")
        return
    value.encode()  # halves of characters: a UnicodeError, which is a ValueError
    if len(value) > _LONGEST.get(column, len(value)):
        raise BundleError(f"The bundle's table {table} has a {column} of {len(value):,} characters, which is too long.")
    if column == "created_at":
        datetime.fromisoformat(value)
    if column in ("recipe", "kind") and not _WORD.fullmatch(value):
        raise BundleError(f"The bundle's table {table} has {value[:60]!r} as {column}, a plain word was expected.")


def check_phrasings(text: str) -> tuple[Phrasing, ...]:
    """The questions and answers of a lesson's rows; BundleError when they have another form."""
    found = json.loads(text)
    if not isinstance(found, list) or len(found) > MAX_PHRASINGS:
        raise BundleError("The bundle's phrasings have another form than expected.")
    for pair in found:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise BundleError("A phrasing of the bundle is not a question and an answer.")
        if max(map(len, pair)) > MAX_CHARACTERS:
            raise BundleError("A phrasing of the bundle is too long.")
        "".join(pair).encode()
    return tuple(Phrasing(question, answer) for question, answer in found)


def check_object(text: str, what: str) -> dict:
    """A JSON object without NaN; BundleError otherwise."""
    value = json.loads(text, parse_constant=refuse)
    if not isinstance(value, dict):
        raise BundleError(f"The bundle's {what} is no JSON object.")
    json.dumps(value, ensure_ascii=False).encode()
    return value


def check_solve(text: str, *, knows: bool) -> dict:
    """How a version is solved; BundleError when a number is missing or senseless. knows: whether it has lessons."""
    solve = check_object(text, "way to solve")
    if not knows:
        return solve
    replay, method = solve.get("replay"), solve.get("method")
    if method not in ("ridge", "paper") or not isinstance(replay, str) or not (replay == "" or _HEX.fullmatch(replay)):
        raise BundleError("A version of the bundle names no method, or a replay by something that is no SHA-256.")
    for name in _POSITIVE:
        value = solve.get(name)
        if type(value) not in (int, float) or not math.isfinite(value) or (method == "ridge" and value <= 0):
            raise BundleError(f"A version of the bundle has {value!r:.60} as {name}, a positive number was expected.")
    fit = solve.get("fit")
    if fit is not None and (type(fit) not in (int, float) or not 0 < fit <= 1):
        raise BundleError(f"A version of the bundle has {fit!r:.60} as fit, a share was expected.")
    return solve


def check_report(text: str) -> None:
    """A report card; BundleError when what the window reads of it is of another type."""
    report = check_object(text, "report card")
    _check_items(report.get("answers", []), {"question": str, "before": str, "after": str, "ok": bool, "lesson": str})
    _check_items(report.get("probes", []), {"question": str, "before": str, "after": str, "same": bool})
    _check_items(report.get("neighbours", []), {"question": str, "before": str, "after": str, "same": bool})
    checks = report.get("checks", {})  # what was asked later, by lesson
    if not isinstance(checks, dict):
        raise BundleError("A report card of the bundle has another form than expected.")
    for check in checks.values():
        if not isinstance(check, dict) or type(check.get("at")) is not str:
            raise BundleError("A report card of the bundle has a check of another form than expected.")
        _check_items(check.get("asked", []), {"question": str, "said": str, "ok": bool})
    if type(report.get("lessons", 0)) is not int or type(report.get("learned", False)) is not bool:
        raise BundleError("A report card of the bundle has another form than expected.")


def _check_items(items: object, fields: dict[str, type]) -> None:
    if not isinstance(items, list):
        raise BundleError("A report card of the bundle has another form than expected.")
    for item in items:
        if not isinstance(item, dict) or any(type(item.get(name)) is not kind for name, kind in fields.items()):
            raise BundleError("A report card of the bundle has an answer of another form than expected.")


def check_names(refs: Iterable[tuple], current: list[tuple], versions: Iterable[int]) -> int:
    """Branches and tags; the number of the live version. BundleError when they do not fit together."""
    found = {name: (number, kind) for name, number, kind in refs}
    for name, (_, kind) in found.items():
        if not (kind == "live" and name == LIVE or kind in ("branch", "tag") and is_name(name)):
            raise BundleError(f"The bundle names a version {name!r:.80}, which is no name of a {kind!r:.20}.")
    if len(current) != 1 or current[0][0] != 1 or found.get(current[0][1], (0, ""))[1] != "branch":
        raise BundleError("The bundle's current branch does not exist.")
    if LIVE not in found or not {number for number, _ in found.values()} <= set(versions):
        raise BundleError("The bundle's names do not fit its versions.")
    live, here = found[LIVE][0], found[current[0][1]][0]
    if live != here:
        raise BundleError("The bundle's current branch is at another version than the live one.")
    return live


def refuse(name: str) -> None:
    """For `parse_constant`: NaN and infinities are no numbers of a bundle."""
    raise BundleError(f"The bundle's manifest holds {name}, which is no number.")
