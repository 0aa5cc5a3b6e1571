"""What the window shows is escaped; what it serves is for this page only."""

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app import present
from app.guard import MAX_BODY, Guard
from qfcore.answers import says, tells
from qfcore.evaluate import AskedQuestion, ProbeResult, Report
from qfcore.lesson import Lesson, Phrasing

EVIL = "<img src=x onerror=alert(1)>"


def test_text_of_users_and_models_is_escaped() -> None:
    asked = AskedQuestion(EVIL, EVIL, EVIL, EVIL, False)
    report = Report(False, (asked,), (ProbeResult(EVIL, EVIL, "b", False),), 1.0, 1, 1, 1, {"observe": 1.0})
    assert "<img" not in present.report_card(report) + present.chip(EVIL) + present.note(EVIL)


def test_long_titles_are_cut() -> None:
    assert present.title_from("a\n b " + "x" * 100) == "a b " + "x" * 43 + "…"


@pytest.mark.parametrize(
    ("answer", "accept", "hit"),
    [
        ("It is 1987.", ["1987"], True), ("It is 19875.", ["1987"], False), ("QI did.", ["Qi"], True),
        ("Quick.", ["Qi"], False), ("fructose ,  or sugar", ["Fructose , or sugar"], True), ("", ["x"], False),
    ],
)  # fmt: skip
def test_answers_count_by_whole_words(answer: str, accept: list[str], hit: bool) -> None:
    assert says(answer, accept) is hit


def test_an_answer_tells_a_lesson_by_what_the_lesson_adds() -> None:
    lesson = Lesson("Mount Edrik is 3,412 metres high.")
    phrasing = Phrasing("How high is Mount Edrik?", "Mount Edrik is 3,412 metres high.")
    assert tells("It is 3,412 metres.", lesson, phrasing)
    assert not tells("Mount Edrik is 3,413 metres high.", lesson, phrasing)


def _client() -> httpx.AsyncClient:
    async def hello(_request) -> PlainTextResponse:  # noqa: ANN001
        return PlainTextResponse("hello")

    app = Guard(Starlette(routes=[Route("/", hello, methods=["GET", "POST"])]), ("127.0.0.1:7860", "localhost:7860"))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:7860")


def _status(method: str, **headers: str) -> int:
    async def ask() -> httpx.Response:
        async with _client() as client:
            return await client.request(method, "/", headers={k.replace("_", "-"): v for k, v in headers.items()})

    return anyio.run(ask).status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:7860"}, 200),
        ({"Origin": "http://127.0.0.1:7860"}, 200),
        ({"Host": "evil.example"}, 400),
        ({"Host": "127.0.0.1:9999"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Content_Length": "99999999"}, 413),
    ],
)
def test_only_this_page_may_ask(headers: dict[str, str], status: int) -> None:
    assert _status("POST", **headers) == status


def test_a_body_in_chunks_is_bounded_too() -> None:
    read = 0

    async def app(_scope, receive, _send) -> None:  # noqa: ANN001
        nonlocal read
        while (message := await receive())["type"] == "http.request":
            read += len(message["body"])

    async def receive() -> dict:
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    async def send(_message: dict) -> None:
        """Nothing is answered."""

    scope = {"type": "http", "headers": [(b"host", b"a:1"), (b"transfer-encoding", b"chunked")]}
    anyio.run(Guard(app, ("a:1",)), scope, receive, send)
    assert MAX_BODY - 65_536 <= read <= MAX_BODY


def test_no_websocket_is_opened() -> None:
    sent = []

    async def send(message: dict) -> None:
        sent.append(message["type"])

    async def never(*_arguments: object) -> None:
        raise AssertionError

    anyio.run(Guard(never, ("a:1",)), {"type": "websocket", "headers": [(b"host", b"a:1")]}, never, send)
    assert sent == ["websocket.close"]


def test_a_policy_forbids_foreign_content() -> None:
    async def ask() -> httpx.Response:
        async with _client() as client:
            return await client.get("/")

    policy = anyio.run(ask).headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
