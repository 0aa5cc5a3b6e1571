"""Beginning the program anew, with the model that was chosen: the same command, in the same process."""

import os
import sys
from collections.abc import Callable, Sequence

TOKEN_VARIABLE = "QFCHAT_TOKEN"
"""Environment variable with the token to use; else each start makes a new one."""


class Restart:
    """Whether the program begins anew when the server has ended. Possible once a server says how it is ended."""

    def __init__(self) -> None:
        self.wanted = False
        self._end: Callable[[], None] | None = None

    def offer(self, end: Callable[[], None], token: str | None) -> None:
        """Make it possible. token: the new process is opened by the same one."""
        if os.name == "nt":  # there the new process would not be the old one's successor
            return
        self._end = end
        if token:
            os.environ[TOKEN_VARIABLE] = token

    @property
    def possible(self) -> bool:
        """Whether `ask` does something."""
        return self._end is not None

    def ask(self) -> None:
        """End the server, and begin anew after it."""
        self.wanted = True
        self._end()


def begin_anew() -> None:
    """Replace this process; returns never. Everything must be closed."""
    os.execv(sys.executable, [sys.executable, *arguments_again(sys.orig_argv[1:])])


def arguments_again(arguments: Sequence[str]) -> list[str]:
    """The same command without its model, and without opening the browser a second time."""
    kept, skip = [], False
    for argument in arguments:
        if skip or argument == "--model":
            skip = not skip
        elif not argument.startswith("--model=") and argument not in ("--browser", "--no-browser"):
            kept.append(argument)
    return [*kept, "--no-browser"]
