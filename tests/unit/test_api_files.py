"""Exports, models and checks over HTTP, and a client that leaves before the first word; no model is needed."""

import asyncio
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api.failures import handle_failures
from app.api.files import files_router
from app.api.knowledge import knowledge_router
from app.api.openai import openai_router
from app.desk import Desk
from qfcore.errors import Cancelled
from qfcore.settings import Paths
from tests.unit.test_exports import REPORT
from tests.unit.test_exports import Desk as Taught


def application(*routers: object) -> FastAPI:
    """An app with these routes, whose errors are the real one's."""
    made = FastAPI()
    handle_failures(made)
    for router in routers:
        made.include_router(router)
    return made


ROUTERS = (files_router, knowledge_router, openai_router)


@pytest.fixture
def home(tmp_path: Path):
    """(client, store's desk, exports folder)."""
    taught = Taught(tmp_path)
    taught.teach("The code is 7.", REPORT)
    paths = Paths(tmp_path / "home")
    engine = SimpleNamespace(paths=paths, store=taught.store, exports=taught.exports, verify=taught.store.verify)
    session = SimpleNamespace(engine=engine, desk=Desk(engine))
    with TestClient(application(*(make(session) for make in ROUTERS))) as client:
        yield client, taught, paths.exports
    taught.store.close()


@pytest.mark.parametrize("kind", ["gguf", "adapter", "peft", "ollama", "card", "bundle"])
def test_a_version_is_written_into_the_exports_folder(home: tuple, kind: str) -> None:
    client, _, folder = home
    done = client.post(f"/api/export/{kind}")
    assert done.status_code == 201, done.text
    path = Path(done.json()["path"])
    assert path.parent == folder and path.exists() and done.json()["bytes"] > 0
    named = client.post(f"/api/export/{kind}", json={"name": "mine.v1", "version": "live"})
    assert named.status_code == 201 and (folder / "mine.v1").exists()
    again = client.post(f"/api/export/{kind}", json={"name": "mine.v1"})
    assert again.status_code == 409 and "exists already" in again.json()["error"]["message"]


def test_a_file_is_written_over_when_asked(home: tuple) -> None:
    client, _, folder = home
    folder.mkdir(parents=True)
    (folder / "a.gguf").write_text("mine")
    body = {"name": "a.gguf", "overwrite": True}
    assert client.post("/api/export/adapter", json=body).status_code == 201
    assert (folder / "a.gguf").read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize("name", ["../a", "/tmp/a", "a/b", "..", ".hidden", "a\\b", "~", "a\n", "\x00", "x" * 101, "nä"])
def test_other_names_than_plain_ones_are_refused(home: tuple, tmp_path: Path, name: str) -> None:
    client, _, folder = home
    before = sorted(tmp_path.rglob("*"))
    refused = client.post("/api/export/card", json={"name": name})
    assert refused.status_code == 400 and "name" in refused.json()["error"]["message"]
    assert sorted(tmp_path.rglob("*")) == before and not folder.exists()


def test_what_cannot_be_written_is_said(home: tuple) -> None:
    client, _, _ = home
    assert client.post("/api/export/zip").status_code == 400
    assert client.post("/api/export/gguf", json={"version": 99}).status_code == 404
    assert client.post("/api/export/gguf", json={"colour": 1}).status_code == 400
    nothing = client.post("/api/export/adapter", json={"version": 0})
    assert nothing.status_code == 409 and "knows no lessons" in nothing.json()["error"]["message"]


LESSON = {"text": "The code is 7.", "question": "Which code?"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/api/lessons", LESSON | {"text": "x" * 4_001}, "text"), ("/api/lessons", LESSON | {"text": ""}, "text"),
        ("/api/lessons", LESSON | {"question": "x" * 100_000}, "question"),
        ("/api/lessons", LESSON | {"answer": "x" * 100_000}, "answer"),
        ("/api/lessons", LESSON | {"replaces": list(range(257))}, "replaces"),
        ("/api/lessons", LESSON | {"replaces": [2**63]}, "replaces.0"),
        ("/api/lessons", LESSON | {"replaces": [-1]}, "replaces.0"),
        ("/api/lessons", [LESSON, LESSON], ""),  # one lesson each time
        ("/api/export/card", {"version": "v" * 201}, "version"), ("/api/export/card", {"version": 2**63}, "version"),
        ("/api/export/peft", {"max_rank": 10**30}, "max_rank"),
        ("/v1/chat/completions", CHAT | {"model": "m" * 201}, "model"),
        ("/v1/chat/completions", CHAT | {"messages": CHAT["messages"] * 10_001}, "messages"),
    ],
)
def test_what_is_too_long_or_too_many_is_refused_with_its_name(home: tuple, path: str, body: object, where: str) -> None:
    client, taught, folder = home
    before = taught.store.live().number
    refused = client.post(path, json=body)
    assert refused.status_code == 400, refused.text
    error = refused.json()["error"]
    assert (error["param"] or "").startswith(where) and where in error["message"] and len(error["message"]) < 300
    assert taught.store.live().number == before and not folder.exists()


@pytest.mark.parametrize(
    "path", [
        "/api/lessons?search={}", "/api/lessons?version={}", "/api/lessons/{}", "/api/versions/{}", "/api/diff?old={}",
        "/api/diff?old=0&new={}", "/api/why?question={}", "/api/compare?old={}", "/api/compare?old=0&question={}",
    ],
)  # fmt: skip
def test_addresses_that_hold_too_much_are_refused(home: tuple, path: str) -> None:
    refused = home[0].get(path.format("x" * 5_000))
    assert refused.status_code == 400 and "at most" in refused.json()["error"]["message"]
    assert home[0].get("/api/lessons", params={"search": "x" * 500}).status_code == 200


def test_each_address_reads_its_own_names(home: tuple) -> None:
    client, taught, _ = home
    live = taught.store.live().number
    assert [len(client.get("/api/lessons", params={"version": v}).json()) for v in (0, live)] == [0, 1]
    assert [len(client.get("/api/diff", params={"old": 0, "new": v}).json()["added"]) for v in (0, live)] == [0, 1]


def test_models_and_verify_are_told(home: tuple) -> None:
    client, _, _ = home
    models = client.get("/api/models").json()
    assert sum(model["default"] for model in models) == 1 and all(model["memory_bytes"] > 0 for model in models)
    found = client.get("/api/verify").json()
    assert found["ok"] and found["checked"]["lessons"] == 1


def _ask_and_leave(
    router: object, method: str, path: str, working: threading.Event, *, query: bytes = b"", body: bytes = b""
) -> None:
    """Send a request and go away when `working` is set."""
    sent = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict:
        if sent:
            return sent.pop()
        while not working.is_set():
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(_message: dict) -> None:
        pass

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query,
        "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9), "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(application(router)(scope, receive, send), 15))


def test_a_client_that_leaves_before_the_first_word_stops_the_answer() -> None:
    reading = threading.Event()
    seen: list[bool] = []

    def stream(_messages: object, *, stop: threading.Event, **_: object):
        reading.set()
        seen.append(stop.wait(20))  # a long prompt is read
        yield from ()

    version = SimpleNamespace(number=0, content="qf1:x")
    store = SimpleNamespace(model=SimpleNamespace(name="A model"), version=lambda _: version)
    session = SimpleNamespace(engine=SimpleNamespace(store=store, stream=stream))
    asked = {"model": "a-model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    _ask_and_leave(openai_router(session), "POST", "/v1/chat/completions", reading, body=json.dumps(asked).encode())
    assert seen == [True]


def test_the_changed_tensors_type_and_the_adapters_rank_can_be_chosen(home: tuple) -> None:
    client, _, folder = home
    small, big = (
        client.post("/api/export/gguf", json={"name": f"{kind}.gguf", "tensor_type": kind}).json() for kind in ("F16", "F32")
    )
    assert small["bytes"] < big["bytes"] == (folder / "F32.gguf").stat().st_size
    cut = client.post("/api/export/peft", json={"name": "cut", "max_rank": 1}).json()
    assert json.loads((folder / "cut" / "adapter_config.json").read_text())["r"] == 1 and cut["bytes"] > 0
    assert client.post("/api/export/gguf", json={"tensor_type": "Q1"}).status_code == 400
    assert client.post("/api/export/peft", json={"max_rank": 0}).status_code == 400
    for strength in (0, 1.01, "much"):
        assert client.post("/api/export/adapter", json={"strength": strength}).status_code == 400
    assert client.post("/api/export/adapter", json={"name": "weak.gguf", "strength": 0.5}).status_code == 201
    assert b"qfchat.strength" in (folder / "weak.gguf").read_bytes()


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [("GET", "/api/compare", b"old=base&ask=true"), ("POST", "/api/lessons/1/check", b"")],
)  # fmt: skip
def test_a_client_that_leaves_stops_a_comparison_and_a_check(method: str, path: str, query: bytes) -> None:
    working, seen = threading.Event(), []

    def work(*_: object, cancel: threading.Event, **__: object) -> None:
        working.set()
        seen.append(cancel.wait(20))
        raise Cancelled("Stopped. Nothing was changed.")

    session = SimpleNamespace(engine=SimpleNamespace(compare=work, check=work))
    router = files_router(session) if path == "/api/compare" else knowledge_router(session)
    _ask_and_leave(router, method, path, working, query=query)
    assert seen == [True]
