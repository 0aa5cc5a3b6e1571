"""Requests that no browser and no client would send, to the real app: it stays up, and nothing is taught by them."""

import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.soaking import SOAK

pytestmark = pytest.mark.small

CHANGES = {
    ("POST", "/api/undo"), ("POST", "/api/versions/1/restore"), ("POST", "/api/lessons"), ("DELETE", "/api/lessons/1"),
}  # fmt: skip
"""What a program may well ask for."""
PATHS = (
    "/", "/config", "/manifest.json", "/gradio_api/info", "/gradio_api/queue/join", "/gradio_api/queue/data",
    "/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/run/predict", "/gradio_api/reset",
    "/gradio_api/component_server", "/v1/models", "/v1/models/x", "/v1/chat/completions", "/v1/completions", "/api/lessons",
    "/api/lessons/1", "/api/lessons/1/check", "/api/versions", "/api/versions/1/restore", "/api/undo", "/api/tags/x",
    "/api/diff", "/api/why", "/api/compare", "/api/verify", "/api/models", "/api/export/adapter", "/api/export/x",
    "/api/status", "/api/openapi.json", "/api/docs", "/api/static/../../etc/passwd",
)  # fmt: skip
ODD = ["", "live", "0", "-1", "9" * 400, "../..", "\ud800", "\x00", "NaN"]
TEXTS = st.one_of(st.text(max_size=60), st.sampled_from(ODD))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
NAMES = st.one_of(
    TEXTS,
    st.sampled_from(
        ["model", "messages", "role", "content", "prompt", "stream", "stop", "temperature", "max_tokens", "text", "question",
         "method", "replaces", "name", "overwrite", "version", "old", "new",
         "data", "fn_index", "session_hash", "event_data", "trigger_id"]
    ),
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(NAMES, v, max_size=6), max_leaves=12)
BODIES = st.one_of(VALUES.map(lambda value: json.dumps(value).encode()), st.binary(max_size=300), st.just(b"[" * 50_000))
FORM = "application/x-www-form-urlencoded"
TYPES = st.sampled_from(["application/json", "text/plain", "multipart/form-data; boundary=x", FORM])




def _knows(client: httpx.Client) -> tuple[int, int]:
    status = client.get("/api/status").json()
    return status["lessons"], status["version"]


REQUESTS = {
    "method": st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]), "path": st.sampled_from(PATHS),
    "query": st.dictionaries(NAMES, st.text(max_size=20), max_size=3), "body": BODIES, "kind": TYPES,
}  # fmt: skip
AT_RANDOM = settings(
    max_examples=4000 if SOAK else 75, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def answers_and_knows_what_it_knew(
    client: httpx.Client, method: str, path: str, query: dict, body: bytes, kind: str
) -> None:
    """Send it; the app must answer, and only what a program may ask for may change what it knows."""
    before = _knows(client)
    with client.stream(
        method, path, params={k.encode("utf-8", "replace"): v.encode("utf-8", "replace") for k, v in query.items()},
        content=body, headers={"Content-Type": kind},
    ) as answer:  # fmt: skip
        assert answer.status_code < 500, answer.read()[:500]
        assert b"root:" not in next(answer.iter_bytes(), b"")
    assert _knows(client) == before or (answer.is_success and (method, path) in CHANGES)


@AT_RANDOM
@given(**REQUESTS)
def test_whatever_is_sent_the_app_answers_and_no_lesson_comes_of_it(http: httpx.Client, **request: object) -> None:
    answers_and_knows_what_it_knew(http, **request)
