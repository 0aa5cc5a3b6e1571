"""The command line: thin, and the only place that prints.

Results go to stdout (JSON with --json), progress and errors to stderr, each error in one sentence. Exit codes are those
of `qfcore.errors`; 2 is wrong usage.
"""

import sys

from app.commands import assistants, chat, files, history, models, teaching
from app.commands.common import cli, stderr
from app.visible import visible
from qfcore.errors import QFError

COMMANDS = (chat, teaching, history, files, models, assistants)
"""The modules that add their commands to `cli`, in the order of the help."""


def main() -> None:
    """Entry point of `qfchat`: errors become one sentence on stderr and an exit code."""
    try:
        cli()
    except QFError as error:
        stderr.print(visible(f"qfchat: {error}"), style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        stderr.print("qfchat: stopped.")
        sys.exit(130)


if __name__ == "__main__":
    main()
