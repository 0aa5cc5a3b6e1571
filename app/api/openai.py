"""OpenAI's interface over the versions: each is a model by name, NAME:VERSION; NAME alone is the live one."""

import json
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from app.api.failures import ModelNotFound, body_of
from app.api.schemas import ChatRequest, CompletionRequest
from app.api.stopping import StopText
from app.api.working import while_connected
from app.session import Session
from qfcore.errors import LessonError, NotFound, QFError
from qfcore.runtime.protocol import AnswerStats, Sampling, Thought
from qfcore.store.records import Version

OWNER = "qfchat"


def base_name(title: str) -> str:
    """The model's name in requests: "Qwen2.5-Coder 1.5B Instruct (Q4_K_M)" is "qwen2.5-coder-1.5b-instruct-q4_k_m"."""
    return re.sub(r"[^a-z0-9._]+", "-", title.casefold()).strip("-")


@dataclass
class Answer:
    """One answer as it is made; `thoughts` is what the model thought before it."""

    session: Session
    messages: Sequence[dict[str, str]] | str
    sampling: Sampling
    version: Version
    stops: Sequence[str]
    think: bool = False
    thoughts: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    stats: AnswerStats | None = None
    finish: str = "stop"

    def pieces(self) -> Iterator[str | Thought]:
        """Thoughts and text as they come; then `stats` and `finish` are known. Stop strings do not end thoughts."""
        text = StopText(self.stops)
        for piece in self.session.engine.stream(
            self.messages, sampling=self.sampling, version=self.version.number, stop=self.stop,
            think=self.think,
        ):  # fmt: skip
            if isinstance(piece, AnswerStats):
                self.stats = piece
                self.finish = "length" if piece.cut and not text.found else "stop"
            elif isinstance(piece, Thought):
                yield piece
            elif shown := text.push(piece):
                yield shown
            if text.found:
                self.stop.set()
        if rest := text.finish():
            yield rest

    def whole(self, gone: threading.Event) -> str:
        """All of its text; then `thoughts` are known too. `gone` ends it early."""
        self.stop = gone  # before the pieces begin: they look at it
        said = list(self.pieces())
        self.thoughts = "".join(piece.text for piece in said if isinstance(piece, Thought)).rstrip()
        return "".join(piece for piece in said if isinstance(piece, str))

    def usage(self) -> dict:
        """Tokens: what the prompt cost, what of it was still in the cache, what was said."""
        stats = self.stats
        asked, said = (stats.prompt_tokens, stats.generated_tokens) if stats else (0, 0)
        return {
            "prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said,
            "prompt_tokens_details": {"cached_tokens": stats.cached_tokens if stats else 0},
            "completion_tokens_details": {"reasoning_tokens": stats.thought_tokens if stats else 0},
        }  # fmt: skip

    def knowledge(self) -> dict:
        """Which version answered, and which of its lessons were active: not in OpenAI's interface."""
        return {"version": self.version.number, "lessons": list(self.stats.lessons) if self.stats else []}


def openai_router(session: Session) -> APIRouter:
    """Routes under /v1."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    def name() -> str:
        return base_name(session.engine.store.model.name)

    def version_of(model: str) -> Version:
        base, colon, reference = model.partition(":")
        try:
            if base == name() and (reference or not colon):
                return session.engine.store.version(reference or "live")
        except NotFound:
            pass
        raise ModelNotFound(
            f"There is no model {model!r}. {name()!r} is the live version, {name() + ':3'!r} version 3; "
            "GET /v1/models lists all."
        )

    def answer_to(body: ChatRequest | CompletionRequest) -> Answer:
        think = False
        if isinstance(body, ChatRequest):
            think = body.thinks
            messages, limit = [message.plain() for message in body.messages], body.max_completion_tokens
            if messages[-1]["role"] != "user":
                raise LessonError("messages: the last message must be the user's.")
        else:
            messages, limit = body.prompt, None
        return Answer(session, messages, body.sampling(limit), version_of(body.model), body.stop, think)

    @router.get("/models", summary="The versions, each as a model")
    def models() -> dict:
        store, base = session.engine.store, name()
        named = [(entry.name, entry.version) for entry in store.names.all()]
        made = {version.number: version for version in store.versions()}
        ids = [(base, store.live().number)]
        ids += [(f"{base}:{number}", number) for number in made]
        ids += [(f"{base}:{label}", number) for label, number in named]
        return {"object": "list", "data": [_model(model, made[number]) for model, number in ids]}

    @router.get("/models/{model}", summary="One version")
    def model(model: str) -> dict:
        return _model(model, version_of(model))

    @router.post("/chat/completions", summary="Answer a conversation", response_model=None)
    async def chat(body: ChatRequest, request: Request) -> dict | StreamingResponse:
        answer = await anyio.to_thread.run_sync(answer_to, body)
        head = _head("chatcmpl", "chat.completion", body.model, answer.version)
        if body.stream:
            head["object"] = "chat.completion.chunk"
            return await _streamed(request, answer, head, _chat_choice, body.wants_usage)
        text = await while_connected(request, answer.whole)
        message = {"role": "assistant", "content": text}
        if answer.thoughts:
            message["reasoning_content"] = answer.thoughts
        choice = {"index": 0, "message": message, "finish_reason": answer.finish}
        return {**head, "choices": [{**choice, "logprobs": None}], "usage": answer.usage(), "qf": answer.knowledge()}

    @router.post("/completions", summary="Go on where a text ends", response_model=None)
    async def completion(body: CompletionRequest, request: Request) -> dict | StreamingResponse:
        answer = await anyio.to_thread.run_sync(answer_to, body)
        head = _head("cmpl", "text_completion", body.model, answer.version)
        if body.stream:
            return await _streamed(request, answer, head, _text_choice, body.wants_usage)
        text = await while_connected(request, answer.whole)
        return {
            **head, "choices": [_text_choice(text, answer.finish)], "usage": answer.usage(), "qf": answer.knowledge()
        }  # fmt: skip

    return router


def _model(name: str, version: Version) -> dict:
    created = int(datetime.fromisoformat(version.created_at).timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}


def _head(prefix: str, kind: str, model: str, version: Version) -> dict:
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model,
        "system_fingerprint": version.content[:20],
    }  # fmt: skip


def _chat_choice(piece: str | Thought | None, finish: str | None, *, first: bool = False) -> dict:
    delta = {"role": "assistant"} if first else {}
    if isinstance(piece, Thought):
        delta["reasoning_content"] = piece.text
    elif piece is not None:
        delta["content"] = piece
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}


def _text_choice(text: str | None, finish: str | None, *, first: bool = False) -> dict:
    return {"index": 0, "text": text or "", "finish_reason": finish, "logprobs": None}


async def _streamed(
    request: Request, answer: Answer, head: dict, choice, usage: bool  # noqa: ANN001
) -> StreamingResponse:
    """Server-sent events. The first piece is awaited here, so that what fails at once has a proper status."""
    pieces = answer.pieces()
    first = await while_connected(request, lambda _gone: next(pieces, None), answer.stop)

    async def events() -> AsyncIterator[str]:
        try:
            yield _event({**head, "choices": [choice(first, None, first=True)]})
            async for piece in iterate_in_threadpool(pieces):
                yield _event({**head, "choices": [choice(piece, None)]})
            yield _event({**head, "choices": [choice(None, answer.finish)], "qf": answer.knowledge()})
            if usage:
                yield _event({**head, "choices": [], "usage": answer.usage()})
        except QFError as error:
            yield _event(body_of(error)[1])
        finally:
            answer.stop.set()  # the client may have gone away
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _event(value: dict) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
