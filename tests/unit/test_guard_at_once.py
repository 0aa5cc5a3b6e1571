"""Programs cannot pile up work without bound; the window is not held up by them."""

import anyio
import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.api.files import files_router
from app.api.knowledge import knowledge_router
from app.api.openai import openai_router
from app.guard import MAX_AT_ONCE, Guard

WORK = {
    "POST /v1/chat/completions", "POST /v1/completions", "POST /api/lessons", "POST /api/lessons/{lesson}/check",
    "DELETE /api/lessons/{lesson}", "POST /api/versions/{version}/restore", "POST /api/undo", "PUT /api/tags/{name}",
    "GET /api/why", "POST /api/export/{kind}", "GET /api/models", "GET /api/compare", "GET /api/verify",
}  # fmt: skip
LIGHT = {
    "GET /v1/models", "GET /v1/models/{model}", "GET /api/status", "GET /api/lessons", "GET /api/lessons/{lesson}",
    "GET /api/versions", "GET /api/versions/{version}", "GET /api/diff", "GET /", "GET /api/docs", "GET /api/static/x.js",
}  # fmt: skip


async def _status(client: httpx.AsyncClient, route: str) -> int:
    method, path = route.split()
    return (await client.request(method, path.replace("{", "").replace("}", ""), json={})).status_code


def test_every_route_is_work_or_is_light() -> None:
    routers = [openai_router(None), knowledge_router(None), files_router(None)]
    routes = {f"{method} {route.path}" for router in routers for route in router.routes for method in route.methods}
    assert WORK <= routes and routes <= WORK | LIGHT, routes ^ (WORK | LIGHT)


def test_more_requests_than_can_be_worked_on_are_told_to_wait() -> None:
    async def run() -> None:
        ready, working = anyio.Event(), 0

        async def slow(request: Request) -> PlainTextResponse:
            nonlocal working
            if request.headers.get("x-wait"):
                working += 1
                await ready.wait()
            return PlainTextResponse("done")

        methods = ["GET", "POST", "PUT", "DELETE"]
        app = Guard(Starlette(routes=[Route("/{rest:path}", slow, methods=methods)]), ("127.0.0.1:7860",))
        done: list[int] = []
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:

            async def wait(path: str) -> None:
                done.append((await client.get(path, headers={"X-Wait": "yes"})).status_code)

            async with anyio.create_task_group() as tasks:
                for number in range(MAX_AT_ONCE):
                    tasks.start_soon(wait, ("/api/compare?old=0", "/api/verify")[number % 2])
                while working < MAX_AT_ONCE:
                    await anyio.sleep(0.01)
                for _ in range(3):
                    assert {route: await _status(client, route) for route in WORK} == dict.fromkeys(WORK, 429)
                assert {route: await _status(client, route) for route in LIGHT} == dict.fromkeys(LIGHT, 200)
                refused = await client.get("/api/verify")
                assert refused.headers["retry-after"] and "try again" in refused.json()["error"]["message"]
                ready.set()
            assert done == [200] * MAX_AT_ONCE
            assert {route: await _status(client, route) for route in WORK} == dict.fromkeys(WORK, 200)

    anyio.run(run)
