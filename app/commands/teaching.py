"""Commands over lessons: teach, forget, erase, lessons."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.common import AsJson, Home, Method, Model, VersionRef, cli, opened, progress, say, show, stopped_by_user
from app.lessons_file import read_lessons
from app.lines import lesson_line, plan_lines, report_lines, states_lines, version_line
from qfcore.contradiction import ASK, KEEP, REPLACE, SKIP, contradiction_text
from qfcore.errors import Cancelled, Contradiction, LessonError
from qfcore.lesson import Lesson, check_lesson, check_message
from qfcore.recipe import Recipe, recipe_named

if TYPE_CHECKING:
    from qfcore.store.records import Version

OnConflict = Annotated[
    str, typer.Option(help="With --file, where a lesson contradicts a live one: ask (refuse), replace, skip or keep (both).")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the report card, or with --file the plan; change nothing.")]


@cli.command()
def teach(
    text: Annotated[str, typer.Argument(help="The fact or instruction (empty with --file).")] = "",
    question: Annotated[str, typer.Option(help="A question that it answers (else the model writes one).")] = "",
    answer: Annotated[str, typer.Option(help="The wished answer (else the model's own).")] = "",
    file: Annotated[Path | None, typer.Option(help="Teach all lessons of a file (.jsonl, .csv or text).")] = None,
    replace: Annotated[list[str] | None, typer.Option(help="Number of a lesson that this one replaces.")] = None,
    keep_both: Annotated[bool, typer.Option("--keep-both", help="Teach it although it contradicts a live one.")] = False,
    on_conflict: OnConflict = ASK,
    method: Method = "thorough",
    message: Annotated[str, typer.Option(help="What the version is called in the history (default: the lesson).")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Change nothing unless it was learned (exit code 3).")] = False,
    force: Annotated[bool, typer.Option("--force", help="Apply it although the model repeats itself with it.")] = False,
    dry_run: DryRun = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Teach a lesson into the weights, or all lessons of a file."""
    recipe = recipe_named(method)
    if file is not None and (text or question or answer or replace):
        raise LessonError("Give either a lesson or --file, not both.")
    if on_conflict not in (ASK, REPLACE, SKIP, KEEP):
        raise LessonError(f"--on-conflict is {on_conflict!r}; ask, replace, skip or keep was expected.")
    if file is None and on_conflict != ASK:
        raise LessonError("--on-conflict is for --file; for one lesson say --replace NUMBER or --keep-both.")
    lessons = read_lessons(file) if file is not None else [check_lesson(text, question, answer)]
    end = _End(check_message(message), strict, dry_run, KEEP if keep_both else on_conflict, force)
    with opened(home, model, read_only=dry_run and file is not None) as engine:
        engine.recipe = recipe
        if file is not None:
            value, lines = _teach_file(engine, lessons, recipe, method, end)
        else:
            value, lines = _teach_one(engine, lessons[0], recipe, replace or [], end)
    show(value, as_json, lines)
    if strict and value.get("learned") is False:
        raise typer.Exit(LessonError.exit_code)


@dataclass(frozen=True)
class _End:
    """What becomes of a preview, and of what it contradicts (of `qfcore.contradiction`)."""

    message: str
    strict: bool
    dry_run: bool
    on_conflict: str
    force: bool

    def apply(self, engine, preview) -> "Version | None":  # noqa: ANN001
        """The version that was made; None when nothing was to be changed."""
        if self.dry_run or (self.strict and not preview.report.learned):
            return None
        return engine.apply(preview, self.message or None, force=self.force)

    def head(self, version: "Version | None") -> str:
        """What happened, in one sentence."""
        if version is not None:
            return f"Version {version.number} is live."
        return "Dry run, nothing was changed." if self.dry_run else "Not learned, so nothing was changed (--strict)."


def _teach_one(engine, lesson: Lesson, recipe: Recipe, replace: list[str], end: _End) -> tuple[dict, list[str]]:  # noqa: ANN001
    gone = {engine.store.lesson(reference).id for reference in replace}
    with stopped_by_user() as cancel, progress() as tell:
        engine.prepare(tell, cancel)
        contradicted = engine.contradictions([lesson], recipe=recipe, on_progress=tell, cancel=cancel)
        found = [record for record in contradicted if record.id not in gone]
        if found and end.on_conflict != KEEP and not end.dry_run:
            numbers = " ".join(f"--replace {r.number}" for r in found)
            raise Contradiction(
                f"{contradiction_text(lesson.text, found)} Say {numbers} to replace it, or --keep-both. Nothing was changed."
            )
        preview = engine.preview([lesson], replaces=replace, recipe=recipe, on_progress=tell, cancel=cancel)
    version = end.apply(engine, preview)
    known = [engine.store.lesson(lesson.id).number] if version else []
    value = {
        "version": version.number if version else None, "dry_run": end.dry_run, "learned": preview.report.learned,
        "status": preview.report.status, "lessons": [lesson.id], "numbers": known, "report": preview.report.to_dict(),
        "contradicts": [r.number for r in found],
    }  # fmt: skip
    warning = [f"! {contradiction_text(lesson.text, found)}"] if found else []
    return value, [end.head(version), *warning, *report_lines(preview.report)]


def _teach_file(
    engine, lessons: list[Lesson], recipe: Recipe, method: str, end: _End  # noqa: ANN001
) -> tuple[dict, list[str]]:
    plan = engine.plan_many(lessons, recipe)
    value = {
        "dry_run": end.dry_run, "new": len(plan.new), "resumed": len(plan.resumed), "live": len(plan.live),
        "conflicts": [{"lesson": a.text, "contradicts": [r.number for r in b]} for a, b in plan.conflicts],
        "estimated_seconds": plan.seconds(method),
    }  # fmt: skip
    if end.dry_run:
        return {**value, "version": None}, ["Dry run, nothing was changed.", *plan_lines(plan, method)]
    for line in plan_lines(plan, method):
        say(line)
    if not plan.new and not plan.resumed:
        live = engine.store.live()
        return {**value, "version": live.number, "refused": []}, ["All of these lessons are live already."]
    try:
        with stopped_by_user() as cancel, progress() as tell:
            engine.prepare(tell, cancel)
            preview, states = engine.teach_many(
                lessons, recipe=recipe, on_progress=tell, cancel=cancel, on_conflict=end.on_conflict, force=end.force
            )
    except Cancelled as error:
        raise Cancelled(f"{error} Lessons studied until now are kept: the same command goes on where it stopped.") from error
    except Contradiction as error:
        raise Contradiction(
            f"{error} Say --on-conflict replace, skip or keep. The studied lessons are kept, nothing live was changed."
        ) from error
    version = end.apply(engine, preview)
    refused = [{"lesson": s.lesson.text, "reason": s.detail} for s in states if s.refused]
    value |= {
        "version": version.number if version else None, "learned": preview.report.learned, "refused": refused,
        "replaced": [r.number for r in preview.replaced],
        "report": preview.report.to_dict(),
    }  # fmt: skip
    return value, [end.head(version), *states_lines(states, preview.report)]


@cli.command()
def forget(lesson: str, home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """Forget one lesson, exactly as if it had never been taught."""
    with opened(home, model) as engine:
        version = engine.forget(lesson)
    show({"version": version.number, "lessons": len(version.entries)}, as_json, [version_line(version, live=True)])


@cli.command()
def erase(
    lesson: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Take a lesson out of the whole history and off the disk. This cannot be undone."""
    with opened(home, model) as engine:
        record = engine.store.lesson(lesson)
        if not yes:
            say(lesson_line(record))
            typer.confirm("Take it out of every version? This cannot be undone", abort=True, err=True)
        knew = engine.erase(record.id)
        version = engine.store.live()
    show(
        {"lesson": record.number, "versions": knew, "version": version.number}, as_json,
        [f"Erased from {knew} version{'' if knew == 1 else 's'}.", version_line(version, live=True)],
    )  # fmt: skip


@cli.command()
def lessons(version: VersionRef = None, home: Home = None, model: Model = None, as_json: AsJson = False) -> None:
    """List the lessons of a version."""
    with opened(home, model, read_only=True) as engine:
        chosen = engine.store.version(version or "live")
        records = engine.store.lessons(chosen)
    value = [
        {"number": r.number, "id": r.id, "text": r.lesson.text, "question": r.lesson.question,
         "answer": r.lesson.answer, "phrasings": [p.question for p in r.phrasings], "taught": r.created_at}
        for r in records
    ]  # fmt: skip
    show(value, as_json, [lesson_line(r) for r in records] or [f"Version {chosen.number} knows no lessons."])
