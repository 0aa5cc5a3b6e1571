"""Characters that a person cannot see are shown, not obeyed: they can turn text around or hide it."""

import re

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline: a terminal obeys them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn the direction of text (Unicode TR9)
    "\u200b\u2060-\u2064\u206a-\u206f\ufeff\u00ad\u180e"  # no width; the joiners U+200C, U+200D belong to scripts and emoji
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"  # annotations, halves of characters, tags
)


def visible(text: str) -> str:
    """The text with each hidden character as ⟨U+XXXX⟩; carriage returns of line ends are dropped."""
    return _HIDDEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text.replace("\r\n", "\n"))
