"""Programs cannot pile up work without bound; the window is not held up by them."""

import anyio
import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.guard import MAX_AT_ONCE, Guard


def test_more_requests_than_can_be_worked_on_are_told_to_wait() -> None:
    async def run() -> list[httpx.Response]:
        ready, working = anyio.Event(), 0

        async def slow(request: Request) -> PlainTextResponse:
            nonlocal working
            if request.method == "POST":
                working += 1
                await ready.wait()
            return PlainTextResponse("done")

        app = Guard(Starlette(routes=[Route("/{rest:path}", slow, methods=["GET", "POST"])]), ("127.0.0.1:7860",))
        answers: list[httpx.Response] = []
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:

            async def post() -> None:
                answers.append(await client.post("/v1/chat/completions", content=b"{}"))

            async with anyio.create_task_group() as tasks:
                for _ in range(MAX_AT_ONCE):
                    tasks.start_soon(post)
                while working < MAX_AT_ONCE:
                    await anyio.sleep(0.01)
                for _ in range(50):
                    await post()
                answers.append(await client.get("/api/status"))
                answers.append(await client.get("/"))
                ready.set()
            await post()
        return answers

    answers = anyio.run(run)
    codes = [answer.status_code for answer in answers]
    assert codes[:50] == [429] * 50 and codes[50:52] == [200, 200]
    assert codes[52:] == [200] * (MAX_AT_ONCE + 1)  # the first ones, and one after them
    assert answers[0].headers["retry-after"] and "try again" in answers[0].json()["error"]["message"]
