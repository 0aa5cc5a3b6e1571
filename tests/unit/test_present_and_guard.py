"""What the window shows is escaped; what it serves is for this page only."""

from dataclasses import replace

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app import server
from app.events.knowledge import kept_choices
from app.guard import MAX_BODY, MAX_UPLOAD, UPLOAD, Guard
from app.present.chat import chat_choices, chat_messages, title_from
from app.present.common import PAGE, buttons, chip, marked, more_text, note
from app.present.history import answers_diff, corrections, lessons_diff, restore_text, timeline
from app.present.teaching import (
    doubt,
    doubts,
    last_change,
    lessons_table,
    report_card,
    standings_summary,
    states_html,
)
from app.visible import visible
from qfcore.answers import says, tells
from qfcore.bulk import LessonState
from qfcore.compare import TwoAnswers
from qfcore.errors import QFError
from qfcore.evaluate import AskedQuestion, ProbeResult, Report
from qfcore.lesson import Lesson, Phrasing
from qfcore.standing import Standing
from qfcore.store.records import Chat, LessonRecord, Message, Version, VersionDiff

EVIL = "<img src=x onerror=alert(1)>"


def test_text_of_users_and_models_is_escaped() -> None:
    asked = AskedQuestion(EVIL, EVIL, EVIL, EVIL, False)
    report = Report(False, (asked,), (ProbeResult(EVIL, EVIL, "b", False),), 1.0, 1, 1, 1, {"observe": 1.0})
    assert "<img" not in report_card(report) + chip(EVIL) + note(EVIL)


def _asked(ok: bool, lesson: str = "a") -> AskedQuestion:
    return AskedQuestion("Who?", "Qi", "nobody", "Qi" if ok else "Bo", ok, lesson)


def _version(kind: str, parent: int | None = 4) -> Version:
    return Version(5, "h", "c", kind, "Qi did it.", parent, "2026-11-25T10:00:00", (), {})


def test_the_last_change_is_told_from_the_history() -> None:
    assert "Forgot · version 5 · Qi did it." in last_change(_version("forget"), None)
    assert "data-undo" in last_change(_version("import"), {})
    assert "Undone · version 5 is live" in last_change(_version("undo"), None)
    assert "data-undo" not in last_change(_version("undo"), None)
    assert last_change(_version("base", None), None) == last_change(_version("erase"), None) == ""
    later = {"checks": {"other": {"at": "now", "asked": [{"question": "Q?", "said": "no", "ok": False}]}}}
    card = Report(True, (_asked(True),), (), 1.0, 1, 1, 1).to_dict() | later
    assert "Learned · version 5" in last_change(_version("teach"), card)  # what else was asked there does not count


def test_a_studied_file_tells_what_stuck_with_the_evidence() -> None:
    good, bad, odd = (Lesson(f"{name} did it.") for name in ("Qi", "Bo", "Al"))
    states = [LessonState(0, good, "observed"), LessonState(1, bad, "known"), LessonState(2, odd, "refused", "too odd")]
    report = Report(False, (_asked(True, good.id), _asked(False, bad.id)), (), 1.0, 1, 1, 2)
    before, after = states_html(states, 3), states_html(states, 3, report, again=True)
    assert "studied before" in before and "<details" not in before and "data-again" not in before
    assert "1 learned" in after and "1 not learned" in after and "→ Bo" in after and "too odd" in after
    assert after.index("Bo did it.") < after.index("Qi did it.") and "data-again" in after


def test_long_lists_are_drawn_by_pages() -> None:
    rows = [(_record(n, f"T{n}."), Standing("learned"), 1) for n in range(250)]
    first, all_ = lessons_table(rows, False), lessons_table(rows, False, pages=3)
    assert first.count("<tr>") == PAGE + 1 and "data-more" in first  # and the head
    assert all_.count("<tr>") == 251 and "data-more" not in all_
    assert more_text(1000, 2) == "Show more (200 of 1,000 are shown)"
    versions = [replace(_version("teach"), number=n) for n in range(250)]
    drawn = timeline(versions, 249, {}, [])
    assert drawn.count("<li") == PAGE and "data-more" in drawn


@pytest.mark.parametrize(
    ("oks", "verdict", "chip_text"),
    [
        ((True, True), "Learned</div>", "Learned · version 5 · Qi did it."),
        ((True, False), "Learned in part</div>", "Learned in part · version 5 · Qi did it."),
        ((False, True), "Not learned yet</div>", "Applied, but not learned · version 5 · Qi did it."),
    ],
)
def test_the_card_and_the_chip_say_how_well_it_was_learned(oks: tuple[bool, ...], verdict: str, chip_text: str) -> None:
    report = Report(oks[0], tuple(map(_asked, oks)), (), 1.0, 1, 1, 1)
    assert verdict in report_card(report)
    shown = last_change(_version("teach"), report.to_dict())
    assert f">{chip_text}<" in shown and "data-undo" in shown
    assert bool(doubt(report.status, "thorough")) == (not all(oks))
    assert ("Thorough" in doubt(report.status, "fast")) == (not all(oks))


def test_a_card_shows_the_first_questions_and_all_that_failed() -> None:
    report = Report(False, tuple(_asked(n != 6) for n in range(9)), (), 1.0, 1, 1, 1)
    shown, _, folded = report_card(report).partition("<details>")
    assert (shown.count("✗"), shown.count("✓")) == (1, 4) and (folded.count("✗"), folded.count("✓")) == (0, 4)
    assert "4 more, answered as taught" in folded
    assert "<details>" not in report_card(Report(True, (_asked(True),) * 5, (), 1.0, 1, 1, 1))  # one alone is not folded


def test_words_that_differ_are_marked_and_escaped() -> None:
    assert marked("It is <b> in Hull", "It is 1987 in Hull") == (
        "It is <del>&lt;b&gt;</del> in Hull", "It is <ins>1987</ins> in Hull"
    )  # fmt: skip
    assert marked("", "a b") == ("", "<ins>a b</ins>")


def test_a_card_warns_when_neighbours_change() -> None:
    def card(*answers: tuple[str, str]) -> str:
        near = tuple(ProbeResult("Near?", before, after, before == after) for before, after in answers)
        return report_card(Report(True, (_asked(True),), (), 1.0, 1, 1, 1, neighbours=near))

    assert "neighbours" not in card(("a b", "a b")) and "Near?" in card(("a b", "a b"))
    assert "100% of the neighbours" in card(("a b", "c d"))


def test_dangerous_buttons_ask_first() -> None:
    assert buttons("it", "lesson", "1", [("ask", "Ask"), ("erase", "Erase")], {"erase": 'Sure, "really"?'}).count(
        'data-confirm="Sure, &quot;really&quot;?"'
    ) == 1  # fmt: skip


def test_dropdowns_keep_what_a_person_chose_and_follow_otherwise() -> None:
    first = kept_choices((None,) * 5, (), (2, 1), {0, 1, 2})
    assert first == [2, 2, 2, 1, 1]
    assert kept_choices((0, 2, 2, 1, 0), (2, 1), (3, 2), {0, 1, 2, 3}) == [0, 3, 3, 2, 0]
    assert kept_choices((0, 2, 2, 1, 0), (2, 1), (2, 1), {0, 1, 2}) == [0, 2, 2, 1, 0]  # a name was given: nothing moved
    assert kept_choices((9, 2, 2, 1, 9), (2, 1), (2, 1), {0, 1, 2}) == [2, 2, 2, 1, 1]


def _record(number: int, text: str) -> LessonRecord:
    return LessonRecord(number, Lesson(text), "r", "d", (Phrasing("Q?", "A"),), {}, "2026-11-24T10:00:00")


def test_a_correction_is_shown_as_one_with_its_words_marked() -> None:
    qi, mara, boat = _record(1, "Qi started Oxinnovate."), _record(2, "Mara started Oxinnovate."), _record(3, "A boat sank.")
    assert corrections([qi], [mara, boat]) == [(qi, mara)] and corrections([qi], [boat]) == []
    shown = lessons_diff(VersionDiff(None, None, (mara, boat), (qi,), ()))
    assert "<del>Qi</del> started" in shown and "<ins>Mara</ins> started" in shown and shown.count("<li>") == 2
    told = restore_text(VersionDiff(None, None, (boat,), (qi, mara), ()))
    assert "unlearns 2 lessons: “Qi started" in told and "knows again 1 lesson: “A boat" in told
    assert "same lessons" in restore_text(VersionDiff(None, None, (), (), ()))


def test_changed_answers_come_first() -> None:
    shown = answers_diff([TwoAnswers("Same?", "a", "a"), TwoAnswers("Other?", "a", "b")], 0, 1)
    assert shown.index("Other?") < shown.index("Same?") and "1 of 2 answers" in shown


def test_lessons_in_doubt_are_counted() -> None:
    rows = [(_record(n, "T."), Standing(status), 1) for n, status in enumerate(["learned", "weak", "weak", "failed"])]
    assert "2 weak, 1 not learned" in doubts(rows) and doubts(rows[:1]) == ""
    assert "4 lessons" in standings_summary(rows) and "2 weak" in standings_summary(rows)


def test_long_titles_are_cut() -> None:
    assert title_from("a\n b " + "x" * 100) == "a b " + "x" * 43 + "…"


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


@pytest.mark.parametrize(("path", "most", "passed_on"), [("/", MAX_BODY, False), (UPLOAD, MAX_UPLOAD, True)])
def test_a_body_in_chunks_is_bounded_too(path: str, most: int, passed_on: bool) -> None:
    sent = read = 0
    answers: list[dict] = []

    async def app(_scope, receive, _send) -> None:  # noqa: ANN001
        nonlocal read
        while (message := await receive())["type"] == "http.request":
            read += len(message["body"])

    async def receive() -> dict:
        nonlocal sent
        sent += 65_536
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    async def send(message: dict) -> None:
        answers.append(message)

    headers = [(b"host", b"a:1"), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    anyio.run(Guard(app, ("a:1",)), scope, receive, send)
    assert sent <= most + 65_536 and (most - 65_536 <= read <= most if passed_on else read == 0)
    assert passed_on or answers[0]["status"] == 413


def test_no_websocket_is_opened() -> None:
    sent = []

    async def send(message: dict) -> None:
        sent.append(message["type"])

    async def never(*_arguments: object) -> None:
        raise AssertionError

    anyio.run(Guard(never, ("a:1",)), {"type": "websocket", "headers": [(b"host", b"a:1")]}, never, send)
    assert sent == ["websocket.close"]


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://evil.example"}])  # an answer, and a refusal
def test_a_policy_forbids_foreign_content(headers: dict[str, str]) -> None:
    async def ask() -> httpx.Response:
        async with _client() as client:
            return await client.get("/", headers=headers)

    policy = anyio.run(ask).headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u200b", "\x1b", "\x07", "\x9b", "\ufeff", "\U000e0041", "\ud800", "\x00"]
)
def test_hidden_characters_are_shown(hidden: str) -> None:
    code = f"⟨U+{ord(hidden):04X}⟩"
    message = Message(1, 1, None, "assistant", f"a{hidden}b", None, {}, "")
    chat = Chat(1, f"a{hidden}b", "", "", None)
    assert chat_messages([message]) == [{"role": "assistant", "content": f"a{code}b"}]
    assert chat_choices([chat]) == [(f"a{code}b", 1)]
    assert code in note(f"a{hidden}b") and hidden not in note(f"a{hidden}b")


def test_line_ends_tabs_and_scripts_stay_as_they_are() -> None:
    text = "a\r\nb\tc 👩‍🔬 می‌خواهم"
    assert visible(text) == text.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"data": ["a", 1.5]}', 200), (b"", 200), (b'{"data": [NaN]}', 400), (b'{"data": [-Infinity]}', 400),
        (b'{"data": ["\\ud800"]}', 400), (b"{", 400), (b"\xff", 400), (b"[" * 100_000, 400),
    ],
)  # fmt: skip
def test_bodies_that_are_no_proper_json_stop_at_the_door(body: bytes, status: int) -> None:
    async def ask() -> httpx.Response:
        async with _client() as client:
            return await client.post("/", content=body, headers={"Content-Type": "application/json; charset=utf-8"})

    assert anyio.run(ask).status_code == status


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/gradio_api/queue/join", "text/plain", 415), ("/gradio_api/queue/join", "application/x-www-form-urlencoded", 415),
        ("/gradio_api/queue/join", "", 415), ("/api/lessons", "multipart/form-data; boundary=x", 415),
        ("/gradio_api/upload", "multipart/form-data; boundary=x", 404),  # past the door, where nothing is in this test
    ],
)
def test_only_uploads_may_be_something_else_than_json(path: str, kind: str, status: int) -> None:
    async def ask() -> httpx.Response:
        async with _client() as client:
            return await client.post(path, content=b"\x80", headers={"Content-Type": kind})

    assert anyio.run(ask).status_code == status


TOKEN = "a-token-of-24-characters"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 401), ("/?token=wrong", {}, 401), (f"/?token={TOKEN}", {}, 303),
        ("/", {"Cookie": f"qfchat-7860={TOKEN}"}, 200), ("/", {"Cookie": f"qfchat-7861={TOKEN}"}, 401),
        ("/", {"Cookie": "qfchat-7860=wrong"}, 401), ("/", {"Cookie": "qfchat=ü; =;"}, 401),
        ("/", {"Authorization": f"Bearer {TOKEN}"}, 200), ("/", {"Authorization": "Bearer "}, 401),
        ("/", {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}, 403),
        ("/", {"Authorization": f"Bearer {TOKEN}", "Origin": "http://mybox:7860", "Host": "mybox:7860"}, 200),
    ],
)  # fmt: skip
def test_a_network_needs_the_token(path: str, headers: dict[str, str], status: int) -> None:
    async def hello(_request) -> PlainTextResponse:  # noqa: ANN001
        return PlainTextResponse("hello")

    app = Guard(Starlette(routes=[Route("/", hello)]), ("127.0.0.1:7860",), token=TOKEN)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://mybox:7860") as client:
            return await client.get(path, headers={k: v.encode() for k, v in headers.items()})

    answer = anyio.run(ask)
    assert answer.status_code == status
    if status == 303:
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and answer.headers["location"] == "/"


def test_the_token_is_made_anew_or_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QFCHAT_TOKEN", raising=False)
    assert server._token() != server._token() and len(server._token()) >= 32
    monkeypatch.setenv("QFCHAT_TOKEN", "short")
    with pytest.raises(QFError, match="at least 16"):
        server._token()
