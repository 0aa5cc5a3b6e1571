"""The window's doors, knocked at over HTTP on a real server: files outside, and arguments that no browser would send."""

import contextlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given

from qfcore.store.store import Store
from tests.scripted_engine import SCRIPTED, serving_scripted
from tests.small.test_http_fuzz import AT_RANDOM, REQUESTS, answers_and_knows_what_it_knew

MARK = "0f1d-the-otter-is-called-Momo-d1f0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a secret in its store and in an exported file."""
    return tmp_path_factory.mktemp("doors") / "home"


@pytest.fixture(scope="module")
def http(home: Path) -> Iterator[httpx.Client]:
    """A client of the app."""
    with serving_scripted(home, MARK) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def knowledge(home: Path) -> tuple:
    """All versions, all lessons, and whether everything verifies."""
    with contextlib.closing(Store.open(home / "stores", SCRIPTED, read_only=True)) as store:
        return store.versions(), store.lessons(), store.verify().ok


def traversals(home: Path) -> list[str]:
    """Ways to write the paths of what must not be given out."""
    store = home / "stores" / SCRIPTED.sha256[:16] / "store.db"
    targets = [
        str(store), str(home / "exports/all.qfbundle"), str(home / "presets.json"), "/etc/passwd",
        "/proc/self/environ", "/proc/self/cmdline", str(Path(__file__).parents[2] / "pyproject.toml"),
    ]  # fmt: skip
    found = []
    for target in targets:
        bare = target.lstrip("/")
        climbs = [f"{'../' * depth}{bare}" for depth in (1, 3, 8)]
        climbs += [f"{'..%2f' * 8}{bare}", f"{'%2e%2e/' * 8}{bare}", f"{'%252e%252e%252f' * 8}{bare}", f"{'..;/' * 8}{bare}"]
        climbs += ["..\\" * 8 + bare.replace("/", "\\"), "..%5c" * 8 + bare, "....//" * 8 + bare, f"{'..%c0%af' * 8}{bare}"]
        found += [target, "/" + target, "file://" + target, target.replace("/", "%2f"), target + "%00.png", target + "/."]
        found += [f"{target}?x", target.upper(), "./" + target, *climbs]
    return found


ROUTES = (
    "/gradio_api/file={}", "/file={}", "/gradio_api/file/{}", "/gradio_api/proxy={}", "/static/{}", "/assets/{}", "/{}",
    "/gradio_api/stream/x/y/z/{}", "/theme.css/../{}", "/api/static/{}", "/custom_component/{}",
    "/gradio_api/deep_link?d={}",
    "/svelte/{}", "/api/docs/{}", "/manifest.json/{}", "/pwa_icon/{}",
)  # fmt: skip


def test_no_path_leads_to_a_file_outside(home: Path, http: httpx.Client) -> None:
    secrets = (MARK.encode(), b"SQLite format 3", b"root:x:", b"PATH=", b"[tool.ruff]")
    host = str(http.base_url)
    asked = 0
    choose = random.Random(20261124)
    pairs = [(route, path) for route in ROUTES for path in traversals(home)]
    for route, path in choose.sample(pairs, 500):
        answer = http.get(f"{host}{route.format(path)}")
        assert answer.status_code < 500, (route, path, answer.text[:200])
        for secret in secrets:
            assert secret not in answer.content, (route, path)
        asked += 1
    for path in traversals(home)[:17]:  # the store itself, in each way
        answer = http.get(f"{host}/gradio_api/file={path}")
        assert answer.status_code in (403, 404) or MARK.encode() not in answer.content
    assert asked == 500


ODD = (None, True, -1, 10**30, 1.5, "", "x", "../../etc/passwd", [], [None], {}, {"path": "/etc/passwd"}, "9" * 400)


def test_wrong_arguments_to_the_windows_handlers_break_and_teach_nothing(home: Path, http: httpx.Client) -> None:
    before = knowledge(home)
    functions = http.get("/config").json()["dependencies"]
    choose, answered = random.Random(20261124), 0
    for function in functions:
        for _ in range(2):
            body = {
                "data": [choose.choice(ODD) for _ in function["inputs"]], "fn_index": function["id"], "event_data": None,
                "session_hash": f"s{choose.random()}", "trigger_id": None,
            }  # fmt: skip
            joined = http.post("/gradio_api/queue/join", json=body)
            assert joined.status_code < 500, (function["api_name"], joined.text[:300])
            if joined.status_code != 200:
                continue
            with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": body["session_hash"]}) as events:
                for line in events.iter_lines():
                    if line.startswith("data:") and json.loads(line[5:])["msg"] in ("process_completed", "close_stream"):
                        answered += 1
                        break
    versions, lessons, sound = knowledge(home)
    made = versions[: len(versions) - len(before[0])]
    # Two buttons need no arguments: pressing them is no wrong use. Nothing else may have happened.
    assert {version.kind for version in made} <= {"undo", "restore"}
    assert versions[len(made) :] == before[0] and lessons == before[1] and sound and before[2]
    assert answered > len(functions) and http.get("/api/status").status_code == 200


@pytest.fixture
def knowing(http: httpx.Client) -> httpx.Client:
    """A client of the app, which knows its lesson, whatever was undone before."""
    assert http.post("/api/versions/1/restore").json()["lessons"] == 1
    return http


@AT_RANDOM
@given(**REQUESTS)
def test_whatever_is_sent_the_app_answers_and_its_lesson_stays(knowing: httpx.Client, **request: object) -> None:
    answers_and_knows_what_it_knew(knowing, **request)


def test_after_all_that_the_store_is_sound_and_the_lesson_is_in_its_history(http: httpx.Client) -> None:
    assert http.get("/api/verify").json()["problems"] == []
    assert [lesson["text"] for lesson in http.get("/api/lessons", params={"version": "1"}).json()] == [MARK]
