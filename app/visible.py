"""Characters that a person cannot see are shown, not obeyed: they can turn text around or hide it."""

import json

from qfcore.hidden import HIDDEN


def visible(text: str) -> str:
    """The text with each hidden character as ⟨U+XXXX⟩; carriage returns of line ends are dropped."""
    return HIDDEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text.replace("\r\n", "\n"))


def visible_json(value: object) -> str:
    """JSON for people and programs: hidden characters as its own escapes, everything else readable."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return HIDDEN.sub(lambda match: json.dumps(match[0])[1:-1], text)
