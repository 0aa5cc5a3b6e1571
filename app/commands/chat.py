"""Commands that talk: run, ask, why."""

from typing import Annotated

import typer

from app.commands.common import AsJson, Home, Model, VersionRef, cli, opened, show
from app.lines import origin_lines


@cli.command()
def run(
    home: Home = None,
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; anything but 127.0.0.1 opens it to a network, behind a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the window.")] = 7860,
    browser: Annotated[bool, typer.Option(help="Open the browser.")] = True,
    window: Annotated[bool, typer.Option("--window", help="A window of its own (the extra `window`).")] = False,
) -> None:
    """Open the window."""
    from app.server import serve

    serve(home=home, model=model, host=host, port=port, open_browser=browser, native=window)


@cli.command()
def ask(
    question: str,
    version: VersionRef = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, max=4096)] = 256,
    think: Annotated[
        bool, typer.Option("--think", help="Let a reasoning model think first; --json shows its thoughts.")
    ] = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Ask in a fresh conversation; greedy, so the same version always gives the same answer.

    Only models whose chat template writes the date may answer otherwise on another day.
    """
    with opened(home, model, read_only=True) as engine:
        chosen = engine.store.version(version or "live")
        thoughts: list[str] = []
        answer = engine.ask(
            question, version=chosen.number, max_tokens=max_tokens, think=think, on_thought=thoughts.append
        )
        active = engine.active_lessons(question, version=chosen.number)
    value = {"question": question, "answer": answer, "version": chosen.number, "lessons": active}
    show(value | ({"thoughts": "".join(thoughts)} if think else {}), as_json, [answer])


@cli.command()
def why(
    question: str, version: VersionRef = None, home: Home = None, model: Model = None, as_json: AsJson = False
) -> None:
    """Say which lessons shape the answer to a question, who taught them and when."""
    with opened(home, model, read_only=True) as engine:
        found = engine.why(question, version=version)
    value = [
        {"number": o.record.number, "id": o.record.id, "text": o.record.lesson.text, "source": o.record.lesson.source,
         "taught": o.record.created_at, "version": o.version.number, "message": o.version.message}
        for o in found
    ]  # fmt: skip
    nothing = ["No lesson: the base model answers this by itself."]
    show(value, as_json, [line for origin in found for line in origin_lines(origin)] or nothing)
