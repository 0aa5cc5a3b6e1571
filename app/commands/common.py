"""What every command shares: options, progress, the engine, printing."""

import contextlib
import importlib.metadata
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.visible import visible, visible_json

cli = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
stderr = Console(stderr=True, highlight=False)

Home = Annotated[Path | None, typer.Option("--home", help="Data folder (default: QFCHAT_HOME or the platform's).")]
Model = Annotated[
    str | None,
    typer.Option("--model", help="A name from `qfchat models`, or the path of a GGUF file or of a checkpoint's folder."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
VersionRef = Annotated[
    str | None, typer.Option("--version", help="A version's number, name or hash (default: the live one).")
]
Method = Annotated[str, typer.Option(help="thorough, fast or paper.")]


@contextlib.contextmanager
def progress() -> Iterator[Callable[[float, str], None]]:
    """A progress bar on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("Starting", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)


@contextlib.contextmanager
def stopped_by_user() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, so that work ends cleanly; the second one ends the program."""
    event = threading.Event()

    def stop(_signal: int, _frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, previous)
        stderr.print("Stopping after this step; Ctrl-C again ends at once.")

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def opened(home: Path | None, model: str | None, *, read_only: bool = False) -> Iterator[Any]:
    """The engine, closed at the end."""
    from qfcore.engine import Engine  # torch and llama.cpp are loaded only by commands that need the model

    with progress() as tell:
        engine = Engine.open(home=home, model=model, read_only=read_only, on_progress=tell)
    try:
        yield engine
    finally:
        engine.close()


def say(line: str) -> None:
    """A line for a person on stderr, beside the result."""
    stderr.print(visible(line), markup=False, soft_wrap=True)


def show(value: object, as_json: bool, lines: list[str]) -> None:
    """Print the result, for a program or for a person."""
    print(visible_json(value) if as_json else visible("\n".join(lines)))  # noqa: T201


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"qfchat {importlib.metadata.version('qfchat')}")  # noqa: T201
        raise typer.Exit


@cli.callback()
def qfchat(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """A private local chat that learns what you teach it into the model's weights, and can undo it exactly."""
