"""The command that serves other programs' assistants: mcp."""

import contextlib
import importlib.util

from app import words
from app.commands.common import Home, Model, cli, opened, say
from qfcore.errors import StoreBusy


@cli.command()
def mcp(home: Home = None, model: Model = None) -> None:
    """Serve the Model Context Protocol over standard input and output, for assistants (the extra `mcp`).

    Where the window of this home and model is open, its model and its knowledge are used; one process writes a home.
    """
    from app.mcp_server import EngineTools, build_server, missing_extra

    if importlib.util.find_spec("mcp") is None:  # said before the model is loaded
        raise missing_extra()
    with contextlib.ExitStack() as stack:
        try:
            tools = EngineTools(stack.enter_context(opened(home, model)))
        except StoreBusy as busy:
            tools = _tools_of_the_window(stack, home, model, busy)
        build_server(tools).run("stdio")


def _tools_of_the_window(stack: contextlib.ExitStack, home: Home, model: Model, busy: StoreBusy):  # noqa: ANN202
    from app.beside import find_window
    from app.mcp_window import WindowTools
    from qfcore.engine import Engine
    from qfcore.settings import Paths

    found = find_window(Paths.find(home), Engine.identity_of(home=home, model=model).sha256)
    if found is None:
        raise StoreBusy(words.NO_WINDOW_TO_ASK) from busy
    say(words.ASKING_THE_WINDOW.format(url=found.url))
    return WindowTools(stack.enter_context(found.client()))
