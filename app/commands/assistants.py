"""The command that serves other programs' assistants: mcp."""

import importlib.util

from app.commands.common import Home, Model, cli, opened


@cli.command()
def mcp(home: Home = None, model: Model = None) -> None:
    """Serve the Model Context Protocol over standard input and output, for assistants (the extra `mcp`)."""
    from app.mcp_server import build_server, missing_extra

    if importlib.util.find_spec("mcp") is None:  # said before the model is loaded
        raise missing_extra()
    with opened(home, model) as engine:
        build_server(engine).run("stdio")
