"""Files, models and checks over HTTP: export a version, list the models, compare two versions, verify the store."""

import threading
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request

from app.api import schemas
from app.api.knowledge import Question, VersionRef, difference
from app.api.working import while_connected
from app.session import Session
from qfcore.models.library import Library

Kind = Literal["gguf", "adapter", "ollama", "peft", "transformers", "card", "bundle"]
MOST_QUESTIONS = 64


def files_router(session: Session) -> APIRouter:
    """Routes under /api."""
    router = APIRouter(prefix="/api")

    @router.post("/export/{kind}", tags=["Files"], summary="Write a version into the exports folder", status_code=201)
    async def export(kind: Kind, request: Request, body: schemas.ExportIn | None = None) -> schemas.ExportOut:
        return await while_connected(request, lambda gone: _export(session, kind, body or schemas.ExportIn(), gone))

    @router.get("/models", tags=["Models"], summary="The models that are here or can be installed")
    def models() -> list[schemas.ModelOut]:
        return [schemas.ModelOut(**asdict(model)) for model in Library(session.engine.paths.models).list()]

    @router.get("/compare", tags=["Versions"], summary="Two versions: lessons, weights, answers")
    async def compare(
        request: Request, old: VersionRef, new: VersionRef = "live",
        question: Annotated[list[Question], Query(max_length=MOST_QUESTIONS)] = [],  # noqa: B006
        ask: Annotated[bool, Query(description="Without questions: ask those of the lessons that differ.")] = False,
    ) -> schemas.ComparedOut:  # fmt: skip
        questions, compared = question or (None if ask else ()), session.engine.compare
        found = await while_connected(request, lambda gone: compared(old, new, questions=questions, cancel=gone))
        return schemas.ComparedOut(
            **difference(found.lessons), norm=found.weights.norm, layers=found.weights.layers, ranks=found.weights.ranks,
            answers=[schemas.AnswersOut(question=a.question, old=a.old, new=a.new, same=a.same) for a in found.answers],
        )  # fmt: skip

    @router.get("/verify", tags=["Status"], summary="Re-derive every hash: of the store, the cached adapters, the base")
    def verify() -> schemas.Verified:
        found = session.engine.verify()
        return schemas.Verified(ok=found.ok, checked=found.checked, problems=found.problems)

    return router


def _export(session: Session, kind: Kind, body: schemas.ExportIn, gone: threading.Event) -> schemas.ExportOut:
    version = session.engine.store.version(body.version)
    name = body.name or session.desk.export_path(kind, version)
    done = session.desk.export(
        kind, version.number, name, overwrite=body.overwrite, with_lessons=body.with_lessons,
        form=body.form, tensor_type=body.tensor_type, max_rank=body.max_rank, strength=body.strength, cancel=gone,
    )  # fmt: skip
    told = {name: done[name] for name in ("form", "subjects", "missed", "softened") if name in done}
    return schemas.ExportOut(path=done["path"], bytes=done["bytes"], version=done.get("version"), **told)
