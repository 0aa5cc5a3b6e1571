"""Lessons and versions over HTTP: what the desk does, for programs."""

import threading
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from app.api import schemas
from app.api.failures import Conflict
from app.api.working import while_connected
from app.session import Session
from qfcore.lesson import MAX_FIELD_CHARACTERS, check_lesson
from qfcore.recipe import recipe_named
from qfcore.store.records import LessonRecord, NamedVersion, Version, VersionDiff

VersionRef = Annotated[
    str, Query(max_length=schemas.LONGEST_REFERENCE, description="A version's number, name or hash.")
]
Named = Annotated[str, Path(max_length=schemas.LONGEST_REFERENCE)]
Searched = Annotated[str, Query(max_length=MAX_FIELD_CHARACTERS)]
Question = Annotated[str, Query(min_length=1, max_length=MAX_FIELD_CHARACTERS)]


def knowledge_router(session: Session) -> APIRouter:
    """Routes under /api."""
    router = APIRouter(prefix="/api")

    @router.get("/status", tags=["Status"], summary="The model, what is live, memory")
    def status() -> dict:
        return session.engine.status()

    @router.get("/lessons", tags=["Lessons"], summary="The lessons that a version knows")
    def lessons(version: VersionRef = "live", search: Searched = "") -> list[schemas.LessonOut]:
        store, wanted = session.engine.store, search.casefold().strip()
        records = store.lessons(store.version(version))
        return [_lesson(r) for r in records if not wanted or wanted in f"{r.lesson.text}\n{r.lesson.question}".casefold()]

    @router.get("/lessons/{lesson}", tags=["Lessons"], summary="One lesson, live or not")
    def lesson(lesson: Named) -> schemas.LessonOut:
        return _lesson(session.engine.store.lesson(lesson))

    @router.post("/lessons", tags=["Lessons"], summary="Teach a lesson into the weights", status_code=201)
    async def teach(body: schemas.LessonIn, request: Request) -> schemas.Taught:
        return await while_connected(request, lambda gone: _teach(session, body, gone))

    @router.post("/lessons/{lesson}/check", tags=["Lessons"], summary="Ask the live version about a lesson now")
    async def check(lesson: Named, request: Request) -> schemas.Checked:
        found = await while_connected(request, lambda gone: session.engine.check(lesson, cancel=gone))
        asked = [schemas.Asked(question=a.question, answer=a.said, ok=a.ok) for a in found.asked]
        return schemas.Checked(status=found.status, asked=asked)

    @router.delete("/lessons/{lesson}", tags=["Lessons"], summary="Forget a lesson; the history keeps it")
    def forget(lesson: Named) -> schemas.VersionOut:
        return _version(session, session.engine.forget(lesson))

    @router.get("/versions", tags=["Versions"], summary="The history, newest first")
    def versions() -> list[schemas.VersionOut]:
        store = session.engine.store
        live, names = store.live().number, store.names.all()
        return [_as_out(version, live, names) for version in store.versions()]

    @router.get("/versions/{version}", tags=["Versions"], summary="One version")
    def version(version: Named) -> schemas.VersionOut:
        return _version(session, session.engine.store.version(version))

    @router.post("/versions/{version}/restore", tags=["Versions"], summary="Go back to it, as a new version")
    def restore(version: Named) -> schemas.VersionOut:
        return _version(session, session.engine.restore(version))

    @router.post("/undo", tags=["Versions"], summary="Go back to before the last change, as a new version")
    def undo() -> schemas.VersionOut:
        return _version(session, session.engine.undo())

    @router.put("/tags/{name}", tags=["Versions"], summary="Give a version a name that stays with it")
    def tag(name: Named, version: VersionRef = "live") -> schemas.VersionOut:
        store = session.engine.store
        return _version(session, store.version(store.names.tag(name, version).version))

    @router.get("/diff", tags=["Versions"], summary="Lessons that one version knows and the other does not")
    def diff(old: VersionRef, new: VersionRef = "live") -> schemas.DiffOut:
        found = session.engine.store.diff(old, new)
        return schemas.DiffOut(**difference(found))

    @router.get("/why", tags=["Lessons"], summary="Which lessons shape the answer to a question, taught when")
    def why(question: Question, version: VersionRef = "live") -> list[schemas.Origin]:
        return [
            schemas.Origin(lesson=_lesson(origin.record), version=_version(session, origin.version))
            for origin in session.engine.why(question, version=version)
        ]

    return router


def _teach(session: Session, body: schemas.LessonIn, gone: threading.Event) -> schemas.Taught:
    engine, recipe = session.engine, recipe_named(body.method)
    lesson = check_lesson(body.text, body.question, body.answer, source=body.source)
    replaces = [str(number) for number in body.replaces]
    engine.prepare(cancel=gone)
    if not body.keep_conflicts:
        contradicted = engine.contradictions([lesson], recipe=recipe, cancel=gone)
        found = [r.number for r in contradicted if r.number not in body.replaces]
        if found:
            raise Conflict(
                f"It contradicts lesson {', '.join(map(str, found))}. Send its number in `replaces`, "
                "or `keep_conflicts`: true to have both."
            )
    preview = engine.preview([lesson], replaces=replaces, recipe=recipe, cancel=gone)
    version = None if body.dry_run else engine.apply(preview, force=body.force).number
    number = None if body.dry_run else engine.store.lesson(lesson.id).number
    return schemas.Taught(learned=preview.report.learned, version=version, lesson=number, report=preview.report.to_dict())


def difference(found: VersionDiff) -> dict:
    """The fields of a DiffOut."""
    added, removed, again = ([_lesson(r) for r in part] for part in (found.added, found.removed, found.observed_again))
    return {"old": found.old.number, "new": found.new.number, "added": added, "removed": removed, "observed_again": again}


def _lesson(record: LessonRecord) -> schemas.LessonOut:
    lesson = record.lesson
    return schemas.LessonOut(
        number=record.number, id=record.id, text=lesson.text, question=lesson.question, answer=lesson.answer,
        source=lesson.source, phrasings=[p.question for p in record.phrasings], taught=record.created_at,
    )  # fmt: skip


def _version(session: Session, version: Version) -> schemas.VersionOut:
    store = session.engine.store
    return _as_out(version, store.live().number, store.names.all())


def _as_out(version: Version, live: int, names: Sequence[NamedVersion]) -> schemas.VersionOut:
    return schemas.VersionOut(
        number=version.number, live=version.number == live, kind=version.kind, message=version.message,
        parent=version.parent, lessons=len(version.entries), hash=version.hash, content=version.content,
        names=[n.name for n in names if n.version == version.number], created=version.created_at,
    )  # fmt: skip
