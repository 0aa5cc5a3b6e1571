"""Characters that a person cannot see but a screen or a terminal obeys: they can turn text around, or hide it."""

import re

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline: a terminal obeys them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn the direction of text (Unicode TR9)
    "\u200b\u2060-\u2064\u206a-\u206f\ufeff\u00ad\u180e"  # no width; the joiners U+200C, U+200D belong to scripts and emoji
    "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # drawn as nothing
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f\U000e0100-\U000e01ef]"  # annotations, halves, tags, selectors
)
"""The one list of them; lessons that hold one are refused, and whatever is shown shows them as ⟨U+XXXX⟩."""
