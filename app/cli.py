"""The command line: thin, and the only place that prints.

Results go to stdout (JSON with --json), progress and errors to stderr, each error in one sentence. Exit codes are those
of `qfcore.errors`; 2 is wrong usage.
"""

import contextlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.lines import lesson_line, report_lines, version_line
from qfcore.errors import LessonError, QFError
from qfcore.lesson import check_lesson
from qfcore.recipe import recipe_named

cli = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
_stderr = Console(stderr=True, highlight=False)

Home = Annotated[Path | None, typer.Option("--home", help="Data folder (default: QFCHAT_HOME or the platform's).")]
Model = Annotated[str | None, typer.Option("--model", help="A name from `qfchat models`, or the path of a GGUF file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
VersionRef = Annotated[str | None, typer.Option("--version", help="A version's number or hash (default: the live one).")]


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
    with Progress(*columns, console=_stderr, transient=True) as bar:
        task = bar.add_task("Starting", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)


@contextlib.contextmanager
def _engine(home: Path | None, model: str | None, *, read_only: bool = False) -> Iterator[Any]:
    from qfcore.engine import Engine  # torch and llama.cpp are loaded only by commands that need the model

    with _progress() as tell:
        engine = Engine.open(home=home, model=model, read_only=read_only, on_progress=tell)
    try:
        yield engine
    finally:
        engine.close()


def _print(value: object, as_json: bool, lines: list[str]) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))  # noqa: T201


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


@cli.command()
def run(
    home: Home = None,
    model: Model = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the window.")] = 7860,
    browser: Annotated[bool, typer.Option(help="Open the browser.")] = True,
) -> None:
    """Open the window."""
    from app.server import serve

    serve(home=home, model=model, port=port, open_browser=browser)


@cli.command()
def ask(
    question: str,
    version: VersionRef = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, max=4096)] = 256,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Ask in a fresh conversation; greedy, so the same version always gives the same answer."""
    with _engine(home, model, read_only=True) as engine:
        chosen = engine.store.version(version or "live")
        answer = engine.ask(question, version=chosen.number, max_tokens=max_tokens)
        active = engine.active_lessons(question, version=chosen.number)
    _print({"question": question, "answer": answer, "version": chosen.number, "lessons": active}, as_json, [answer])


@cli.command()
def teach(
    text: Annotated[str, typer.Argument(help="The fact or instruction (empty with --file).")] = "",
    question: Annotated[str, typer.Option(help="A question that it answers (else the model writes one).")] = "",
    answer: Annotated[str, typer.Option(help="The wished answer (else the model's own).")] = "",
    file: Annotated[Path | None, typer.Option(help="Teach the lessons of a JSONL file together.")] = None,
    replace: Annotated[list[str] | None, typer.Option(help="Number of a lesson that this one replaces.")] = None,
    method: Annotated[str, typer.Option(help="thorough, fast or paper.")] = "thorough",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the report card, change nothing.")] = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Teach a lesson into the weights."""
    from app.lessons_file import read_lessons

    recipe = recipe_named(method)
    if file is not None and (text or question or answer):
        raise LessonError("Give either a lesson or --file, not both.")
    lessons = read_lessons(file) if file is not None else [check_lesson(text, question, answer)]
    with _engine(home, model) as engine:
        engine.recipe = recipe
        with _progress() as tell:
            engine.prepare(tell)
            preview = engine.preview(lessons, replaces=replace or (), recipe=recipe, on_progress=tell)
        version = None if dry_run else engine.apply(preview)
        ids = [p.lesson.id for p in preview.pending]
        known = [] if dry_run else [engine.store.lesson(i).number for i in ids]
    value = {
        "version": version.number if version else None, "dry_run": dry_run, "learned": preview.report.learned,
        "lessons": ids, "numbers": known, "report": preview.report.to_dict(),
    }  # fmt: skip
    head = "Dry run, nothing was changed." if version is None else f"Version {version.number} is live."
    _print(value, as_json, [head, *report_lines(preview.report)])


@cli.command()
def forget(lesson: str, home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """Forget one lesson, exactly as if it had never been taught."""
    with _engine(home, model) as engine:
        version = engine.forget(lesson)
    _print({"version": version.number, "lessons": len(version.entries)}, as_json, [version_line(version, live=True)])


@cli.command()
def lessons(version: VersionRef = None, home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """List the lessons of a version."""
    with _engine(home, model, read_only=True) as engine:
        chosen = engine.store.version(version or "live")
        records = engine.store.lessons(chosen)
    value = [
        {"number": r.number, "id": r.id, "text": r.lesson.text, "question": r.lesson.question,
         "answer": r.lesson.answer, "phrasings": [p.question for p in r.phrasings], "taught": r.created_at}
        for r in records
    ]  # fmt: skip
    _print(value, as_json, [lesson_line(r) for r in records] or [f"Version {chosen.number} knows no lessons."])


@cli.command()
def versions(home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """List the versions, newest first."""
    with _engine(home, model, read_only=True) as engine:
        live = engine.store.live().number
        found = engine.store.versions()
    value = [
        {"number": v.number, "hash": v.hash, "content": v.content, "kind": v.kind, "message": v.message,
         "parent": v.parent, "created": v.created_at, "lessons": list(v.lesson_ids), "live": v.number == live}
        for v in found
    ]  # fmt: skip
    _print(value, as_json, [version_line(v, live=v.number == live) for v in found])


@cli.command()
def restore(version: str, home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """Go back to what a version knew; a new version is made and nothing is lost."""
    with _engine(home, model) as engine:
        made = engine.restore(version)
    value = {"version": made.number, "content": made.content, "lessons": len(made.entries)}
    _print(value, as_json, [version_line(made, live=True)])


export = typer.Typer(no_args_is_help=True, help="Write a version as a file. What was taught can be read back from it.")
cli.add_typer(export, name="export")
Out = Annotated[Path, typer.Option("--out", help="The file to write.")]


@export.command("adapter")
def export_adapter(
    out: Out, version: VersionRef = None, home: Home = None, model: Model = None, as_json: AsJson = False
) -> None:
    """A GGUF LoRA adapter, for llama.cpp beside the same base model."""
    with _engine(home, model, read_only=True) as engine:
        value = engine.export_adapter(out.absolute(), version)
    _print(value, as_json, [f"Wrote {value['path']} ({value['bytes']:,} bytes, rank {value['rank']})."])


@export.command("gguf")
def export_gguf(
    out: Out,
    version: VersionRef = None,
    tensor_type: Annotated[str, typer.Option("--type", help="Type of the edited tensor: auto, Q8_0, F16, F32.")] = "auto",
    overwrite: Annotated[bool, typer.Option(help="Write over an existing file.")] = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """The whole model with the knowledge in its weights, for any llama.cpp."""
    with _engine(home, model, read_only=True) as engine, _progress() as tell:
        value = engine.export_gguf(
            out.absolute(), version, tensor_type=tensor_type, overwrite=overwrite, on_progress=tell
        )
    _print(value, as_json, [f"Wrote {value['path']} ({value['bytes']:,} bytes, SHA-256 {value['sha256']})."])


@cli.command()
def verify(home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """Re-derive every hash: lessons, rows, versions, the base file."""
    with _engine(home, model, read_only=True) as engine:
        report = engine.verify()
    counts = ", ".join(f"{count} {name}" for name, count in report.checked.items())
    lines = [f"Checked {counts}: {'all match' if report.ok else f'{len(report.problems)} problems'}.", *report.problems]
    _print({"ok": report.ok, "checked": report.checked, "problems": report.problems}, as_json, lines)
    raise typer.Exit(0 if report.ok else 8)


@cli.command()
def models(
    install: Annotated[str | None, typer.Option(help="Assemble a model of the catalogue now.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the models that QF Chat can install by itself."""
    from qfcore.models.assemble import ensure_model
    from qfcore.models.catalogue import CATALOGUE, DEFAULT, ModelEntry, find_model
    from qfcore.settings import Paths

    paths = Paths.find(home)
    if install is not None:
        entry = find_model(install)
        if isinstance(entry, ModelEntry):
            paths.prepare()
            with _progress() as tell:
                ensure_model(entry, paths.models, on_progress=tell)
    value = [
        {"name": e.name, "title": e.title, "bytes": e.bytes, "sha256": e.sha256, "licence": e.licence,
         "purpose": e.purpose, "default": e.name == DEFAULT, "path": str(paths.models / e.file),
         "installed": (paths.models / e.file).is_file()}
        for e in CATALOGUE.values()
    ]  # fmt: skip
    lines = [
        f"{'✓' if m['installed'] else ' '} {m['name']:20} {m['bytes'] / 1e6:7,.0f} MB  {m['title']}; {m['purpose']}"
        for m in value
    ]
    _print(value, as_json, lines)


@cli.command(name="eval")
def evaluate(
    suite: Path,
    limit: Annotated[int | None, typer.Option(min=1, help="Teach only the first N lessons.")] = None,
    method: Annotated[str, typer.Option(help="thorough, fast or paper.")] = "thorough",
    text: Annotated[Path | None, typer.Option(help="Texts (JSONL) for the perplexity drift.")] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="All lessons active for every question, as in exported weights.")
    ] = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Measure learning on a suite, in a scratch store: recall, generalisation, locality, ceiling, base."""
    from qfcore.suite import measure_suite, read_suite, table_lines

    recipe, items = recipe_named(method), read_suite(suite, limit)
    texts = read_suite(text, None) if text is not None else []
    with _progress() as tell:
        value = measure_suite(
            items, recipe, home=home, model=model, texts=texts, everything=everything, on_progress=tell
        )
    value = {"suite": suite.name, "method": method, "everything": everything, **value}
    _print(value, as_json, table_lines(value))


def main() -> None:
    """Entry point of `qfchat`: errors become one sentence on stderr and an exit code."""
    try:
        cli()
    except QFError as error:
        _stderr.print(f"qfchat: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _stderr.print("qfchat: stopped.")
        sys.exit(130)


if __name__ == "__main__":
    main()
