"""How long the tests that can go on for ever do so: briefly in `make test`, at length in `make soak`."""

import os

SOAK = bool(os.environ.get("QFCHAT_SOAK"))


def examples(count: int) -> int:
    """Hypothesis's examples: so many, and twenty times as many at length."""
    return 20 * count if SOAK else count
