"""Commands over the history: versions, restore, names, diff, compare, verify, backup."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import AsJson, Home, Model, cli, opened, progress, show
from app.lines import change_lines, checked_line, comparison_lines, diff_lines, name_line, verify_lines, version_line

VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="A version's number, name or hash.")]


@cli.command()
def versions(home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """List the versions, newest first, with the lessons that each added and removed."""
    from qfcore.store.records import changes_of

    with opened(home, model, read_only=True) as engine:
        live = engine.store.live().number
        found = engine.store.versions()
        texts = {record.id: record.lesson.text for record in engine.store.lessons()}
    changes = {
        number: tuple([texts[lesson_id] for lesson_id in ids] for ids in pair) for number, pair in changes_of(found).items()
    }
    value = [
        {"number": v.number, "hash": v.hash, "content": v.content, "kind": v.kind, "message": v.message,
         "parent": v.parent, "created": v.created_at, "lessons": list(v.lesson_ids), "live": v.number == live,
         "added": changes[v.number][0], "removed": changes[v.number][1]}
        for v in found
    ]  # fmt: skip
    lines = [line for v in found for line in (version_line(v, live=v.number == live), *change_lines(*changes[v.number]))]
    show(value, as_json, lines)


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
    """Re-derive every hash: lessons, rows, versions, replay, cached adapters, the base file."""
    with opened(home, model, read_only=True) as engine:
        report = engine.verify()
    show({"ok": report.ok, "checked": report.checked, "problems": report.problems}, as_json, verify_lines(report))
    raise typer.Exit(0 if report.ok else 8)


@cli.command()
def backup(
    out: Annotated[Path | None, typer.Option(help="The folder to make (default: one of the last in the home).")] = None,
    keep: Annotated[int, typer.Option(min=1, help="How many backups the home keeps.")] = 3,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Copy all knowledge and conversations of this model, read the copy back and verify it."""
    with opened(home, model, read_only=True) as engine:
        made = engine.backup(out.absolute() if out else None, keep)
    value = {"path": str(made.path), "bytes": made.bytes, "checked": made.checked}
    show(value, as_json, [f"Made {made.path} ({made.bytes:,} bytes), verified: {checked_line(made.checked)}."])


@cli.command("restore-backup")
def restore_backup(
    folder: Annotated[Path | None, typer.Argument(help="A backup (default: the newest good one in the home).")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the knowledge and conversations; what was there is kept beside it."""
    from qfcore.engine import Engine

    if not yes:
        typer.confirm("Replace knowledge and conversations by the backup", abort=True, err=True)
    with progress() as tell:
        chosen, live = Engine.restore_backup(
            home=home, model=model, backup=folder.absolute() if folder else None, on_progress=tell
        )
    lines = [f"Put back {chosen}. What was there is kept as store.replaced-*.db.", version_line(live, live=True)]
    show({"backup": str(chosen), "version": live.number, "content": live.content}, as_json, lines)
