"""Renders a chat template that came with a model file, in a process of its own: `python -m qfcore.runtime.template_child`.

The template is a program of unknown origin. Jinja's sandbox keeps it from files and the network but not from looping or
filling the memory; the parent ends this process when it takes too long, and the system when it takes too much.
One JSON object a line: first {"source", "bos", "eos"}, then {"messages", "think", "now"}; answers are {"text"} or {"error"}.
"""

import contextlib
import datetime
import json
import sys

from qfcore.errors import ModelError
from qfcore.runtime.template import ChatTemplate

MEMORY = 1 << 30
"""Address space in bytes."""


def main() -> None:
    """Answer until stdin ends."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # no such limits on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    template = None
    for line in sys.stdin:
        given = json.loads(line)
        try:  # the memory is bounded, so what a template takes too much of ends here
            if template is None:
                template = ChatTemplate(given["source"], bos=given["bos"], eos=given["eos"])
                answer = {"text": ""}
            else:
                now = datetime.datetime.fromisoformat(given["now"])
                answer = {"text": template.render(given["messages"], think=given["think"], now=now)}
        except ModelError as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": "The model's chat template needs more memory than a template may."}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
