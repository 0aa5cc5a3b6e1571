"""Commands over the history: versions, restore, names, diff, compare, verify."""

from typing import Annotated

import typer

from app.commands.common import AsJson, Home, Model, cli, opened, progress, show
from app.lines import comparison_lines, diff_lines, name_line, version_line

VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="A version's number, name or hash.")]


@cli.command()
def versions(home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """List the versions, newest first."""
    with opened(home, model, read_only=True) as engine:
        live = engine.store.live().number
        found = engine.store.versions()
    value = [
        {"number": v.number, "hash": v.hash, "content": v.content, "kind": v.kind, "message": v.message,
         "parent": v.parent, "created": v.created_at, "lessons": list(v.lesson_ids), "live": v.number == live}
        for v in found
    ]  # fmt: skip
    show(value, as_json, [version_line(v, live=v.number == live) for v in found])


@cli.command()
def restore(version: str, home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """Go back to what a version knew; a new version is made and nothing is lost."""
    with opened(home, model) as engine:
        made = engine.restore(version)
    value = {"version": made.number, "content": made.content, "lessons": len(made.entries)}
    show(value, as_json, [version_line(made, live=True)])


@cli.command()
def undo(home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """Go back to what was known before the last change, as a new version."""
    with opened(home, model) as engine:
        made = engine.undo()
    value = {"version": made.number, "content": made.content, "lessons": len(made.entries)}
    show(value, as_json, [version_line(made, live=True)])


def _name(kind: str, name: str, version: str, home: Home, model: Model, as_json: bool) -> None:
    with opened(home, model) as engine:
        made = getattr(engine.store.names, kind)(name, version)
    show({"name": made.name, "kind": made.kind, "version": made.version}, as_json, [name_line(made)])


@cli.command()
def tag(
    name: str, version: VersionArgument = "live", home: Home = None, model: Model = None, as_json: AsJson = False
) -> None:
    """Give a version a name that stays with it."""
    _name("tag", name, version, home, model, as_json)


@cli.command()
def branch(
    name: str, version: VersionArgument = "live", home: Home = None, model: Model = None, as_json: AsJson = False
) -> None:
    """Begin a branch at a version; `qfchat switch` goes over to it."""
    _name("branch", name, version, home, model, as_json)


@cli.command()
def switch(name: str, home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """Go over to a branch: its version is live, and changes belong to it from now on."""
    with opened(home, model) as engine:
        engine.store.names.switch(name)
        version = engine.store.live()
    show({"branch": name, "version": version.number}, as_json, [version_line(version, live=True)])


@cli.command()
def names(
    delete: Annotated[str | None, typer.Option(help="Delete a branch or a tag; the versions stay.")] = None,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """List branches and tags."""
    with opened(home, model, read_only=delete is None) as engine:
        if delete is not None:
            engine.store.names.delete(delete)
        found = engine.store.names.all()
    value = [{"name": n.name, "kind": n.kind, "version": n.version, "current": n.current} for n in found]
    show(value, as_json, [name_line(n) for n in found])


@cli.command()
def diff(
    old: VersionArgument, new: VersionArgument = "live", home: Home = None, model: Model = None, as_json: AsJson = False
) -> None:
    """Say which lessons one version knows and the other does not."""
    with opened(home, model, read_only=True) as engine:
        found = engine.store.diff(old, new)
    value = {
        "old": found.old.number, "new": found.new.number, "added": [r.lesson.text for r in found.added],
        "removed": [r.lesson.text for r in found.removed], "observed_again": [r.lesson.text for r in found.observed_again],
    }  # fmt: skip
    show(value, as_json, diff_lines(found))


@cli.command()
def compare(
    old: VersionArgument,
    new: VersionArgument = "live",
    question: Annotated[
        list[str] | None, typer.Option(help="Ask this (default: the questions of the lessons that differ, and the probes).")
    ] = None,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Two versions side by side: their lessons, their weights, their answers."""
    with opened(home, model, read_only=True) as engine, progress() as tell:
        found = engine.compare(old, new, questions=question, on_progress=tell)
    value = {
        "old": found.lessons.old.number, "new": found.lessons.new.number,
        "added": [r.lesson.text for r in found.lessons.added], "removed": [r.lesson.text for r in found.lessons.removed],
        "weights": {"norm": found.weights.norm, "layers": found.weights.layers, "ranks": found.weights.ranks},
        "answers": [{"question": a.question, "old": a.old, "new": a.new, "same": a.same} for a in found.answers],
    }  # fmt: skip
    show(value, as_json, comparison_lines(found))


@cli.command()
def verify(home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """Re-derive every hash: lessons, rows, versions, the base file."""
    with opened(home, model, read_only=True) as engine:
        report = engine.verify()
    counts = ", ".join(f"{count} {name}" for name, count in report.checked.items())
    lines = [f"Checked {counts}: {'all match' if report.ok else f'{len(report.problems)} problems'}.", *report.problems]
    show({"ok": report.ok, "checked": report.checked, "problems": report.problems}, as_json, lines)
    raise typer.Exit(0 if report.ok else 8)
