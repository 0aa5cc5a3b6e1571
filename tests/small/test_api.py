"""The HTTP interface on the small model, spoken to by the clients that people use."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from qfcore.engine import Engine

pytestmark = pytest.mark.small


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, which tries each request once."""
    with openai.OpenAI(base_url=f"{served}/v1", api_key="none", max_retries=0, timeout=120) as opened:
        yield opened


@pytest.fixture
def name(client: openai.OpenAI) -> str:
    """The live version's name."""
    return client.models.list().data[0].id


QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0, "max_tokens": 24}


def test_an_answer_is_the_engines(client: openai.OpenAI, name: str, small_engine: Engine) -> None:
    answer = client.chat.completions.create(model=name, messages=QUESTION, **GREEDY)
    assert answer.choices[0].message.content == small_engine.ask(QUESTION[0]["content"], max_tokens=24)
    assert answer.usage.prompt_tokens == small_engine.runtime.count_tokens(QUESTION)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_streamed_answer_is_the_whole_one_in_pieces(client: openai.OpenAI, name: str) -> None:
    whole = client.chat.completions.create(model=name, messages=QUESTION, **GREEDY).choices[0]
    chunks = list(
        client.chat.completions.create(
            model=name, messages=QUESTION, stream=True, stream_options={"include_usage": True}, **GREEDY
        )
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.message.content and len(pieces) > 3
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.finish_reason
    assert chunks[-1].usage.completion_tokens > 0


def test_an_answer_that_is_cut_says_so(client: openai.OpenAI, name: str) -> None:
    answer = client.chat.completions.create(model=name, messages=QUESTION, temperature=0, max_completion_tokens=3)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 3


def test_a_stop_string_ends_the_answer_before_it(client: openai.OpenAI, name: str) -> None:
    whole = client.chat.completions.create(model=name, messages=QUESTION, **GREEDY).choices[0].message.content
    stop = whole[9:14]
    for stream in (False, True):
        answer = client.chat.completions.create(model=name, messages=QUESTION, stop=stop, stream=stream, **GREEDY)
        text = (
            "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
            if stream
            else answer.choices[0].message.content
        )
        assert text == whole[: whole.index(stop)]


def test_text_goes_on_where_it_ends(client: openai.OpenAI, name: str) -> None:
    answer = client.completions.create(model=name, prompt="One, two, three, four,", temperature=0, max_tokens=8)
    assert "five" in answer.choices[0].text


def test_streamed_text_is_the_whole_one_in_pieces(client: openai.OpenAI, name: str) -> None:
    asked = {"model": name, "prompt": "One, two, three, four,", **GREEDY}
    whole = client.completions.create(**asked)
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].text for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].text and sum(bool(piece) for piece in pieces) > 3
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert ends[-1] == whole.choices[0].finish_reason == "length" and set(ends[:-1]) == {None}
    usage = (chunks[-1].usage, whole.usage)
    assert len({(one.prompt_tokens, one.completion_tokens) for one in usage}) == 1
    assert {(chunk.object, chunk.model, chunk.id) for chunk in chunks} == {("text_completion", whole.model, chunks[0].id)}
    stop = whole.choices[0].text[6:10]
    said = "".join(c.choices[0].text for c in client.completions.create(**asked, stop=stop, stream=True) if c.choices)
    assert said == whole.choices[0].text.partition(stop)[0]


def test_content_in_parts_and_a_system_prompt(client: openai.OpenAI, name: str) -> None:
    parts = [{"type": "text", "text": "What is the capital "}, {"type": "text", "text": "of France?"}]
    answers = [
        client.chat.completions.create(model=name, messages=messages, **GREEDY).choices[0].message.content
        for messages in (QUESTION, [{"role": "user", "content": parts}])
    ]
    assert answers[0] == answers[1]
    client.chat.completions.create(model=name, messages=[{"role": "developer", "content": "Be brief."}, *QUESTION], **GREEDY)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"model": "gpt-4o"}, "There is no model 'gpt-4o'"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hello"}]}, "must be the user's"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "Tools are not supported"),
        ({"n": 2}, "one answer"),
        ({"logprobs": True}, "not supported"),
        ({"response_format": {"type": "json_object"}}, "format"),
        ({"stop": [""]}, "stop"),
        ({"messages": [{"role": "user", "content": "word " * 6000}]}, "Start a new chat"),
        ({"messages": [{"role": "user", "content": "word " * 6000}], "stream": True}, "Start a new chat"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_words(client: openai.OpenAI, name: str, more: dict, says: str) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
        client.chat.completions.create(**{"model": name, "messages": QUESTION, **GREEDY, **more})
    assert says in refused.value.body["message"]


def test_a_client_that_goes_away_stops_the_answer(http: httpx.Client, name: str) -> None:
    endless = {"model": name, "prompt": "1, 2, 3, 4, 5, 6, 7, 8,", "max_tokens": 3500, "temperature": 0}  # half a minute
    with http.stream("POST", "/v1/completions", json={**endless, "stream": True}) as response:
        next(response.iter_lines())
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/completions", json=endless, timeout=1)
    started = time.monotonic()
    http.post("/v1/completions", json={**endless, "max_tokens": 1})  # waits for those before
    assert time.monotonic() - started < 8


def test_teach_ask_a_version_forget_restore(http: httpx.Client, client: openai.OpenAI, name: str) -> None:
    before = client.chat.completions.create(model=name, messages=QUESTION, **GREEDY).choices[0].message.content
    lesson = {"text": "Zorbl Kint founded Quexal Works.", "question": "Who founded Quexal Works?", "method": "fast"}
    tried = http.post("/api/lessons", json={**lesson, "dry_run": True}).json()
    assert tried["version"] is None and http.get("/api/lessons").json() == []
    taught = http.post("/api/lessons", json=lesson)
    assert taught.status_code == 201 and taught.json()["report"]["answers"]
    number, version = taught.json()["lesson"], taught.json()["version"]
    assert [one["number"] for one in http.get("/api/lessons").json()] == [number]
    assert http.get("/api/lessons", params={"search": "nothing"}).json() == []

    contradicts = http.post("/api/lessons", json={**lesson, "text": "Mara Ild founded Quexal Works."})
    assert contradicts.status_code == 409 and str(number) in contradicts.json()["error"]["message"]

    asked = [{"role": "user", "content": lesson["question"]}]
    answer = client.chat.completions.create(model=f"{name}:{version}", messages=asked, **GREEDY)
    assert answer.model_extra["qf"] == {"version": version, "lessons": [number]}
    why = http.get("/api/why", params={"question": lesson["question"]}).json()
    assert [origin["lesson"]["number"] for origin in why] == [number]
    assert http.post(f"/api/lessons/{number}/check").json()["asked"]

    assert http.put("/api/tags/works", params={"version": str(version)}).json()["names"] == ["main", "works"]
    assert f"{name}:works" in [model.id for model in client.models.list().data]
    assert client.models.retrieve(f"{name}:works").id == f"{name}:works"
    assert http.delete(f"/api/lessons/{number}").json()["lessons"] == 0
    assert http.get("/api/diff", params={"old": str(version)}).json()["removed"][0]["number"] == number
    compared = http.get("/api/compare", params={"old": 0, "new": version, "question": lesson["question"]}).json()
    assert [r["number"] for r in compared["added"]] == [number] and compared["norm"] > 0
    assert len(compared["answers"]) == 1 and not compared["answers"][0]["same"]
    written = http.post("/api/export/adapter", json={"version": version, "name": "quexal.gguf"})
    assert written.status_code == 201 and Path(written.json()["path"]).stat().st_size == written.json()["bytes"]
    assert http.get("/api/verify").json()["ok"]
    assert any(m["installed"] and m["name"] == "smollm2-135m" for m in http.get("/api/models").json())
    assert http.post("/api/versions/works/restore").json()["lessons"] == 1
    undone = http.post("/api/undo").json()
    assert undone["lessons"] == 0 and undone["live"] and http.get("/api/status").json()["version"] == undone["number"]
    assert http.get("/api/versions/999").status_code == 404
    after = client.chat.completions.create(model=name, messages=QUESTION, **GREEDY).choices[0].message.content
    assert after == before


@pytest.mark.parametrize(
    "body",
    [
        {}, {"text": ""}, {"text": "A\u202eB"}, {"text": "x" * 5000}, {"text": "A.", "colour": 1},
        {"text": "A.", "replaces": [77]},
    ],
)  # fmt: skip
def test_a_lesson_that_cannot_be_taught_changes_nothing(http: httpx.Client, body: dict) -> None:
    before = http.get("/api/status").json()["version"]
    refused = http.post("/api/lessons", json=body)
    assert refused.status_code in (400, 404) and refused.json()["error"]["message"]
    assert http.get("/api/status").json()["version"] == before


def test_the_description_of_the_interface_needs_nothing_from_outside(http: httpx.Client, served: str) -> None:
    page = http.get("/api/docs")
    assert page.status_code == 200
    links = [part.split('"')[0] for mark in ('src="', 'href="') for part in page.text.split(mark)[1:]]
    assert links and all(link.startswith("/") and http.get(link).status_code == 200 for link in links)
    paths = http.get("/api/openapi.json").json()["paths"]
    assert {"/v1/chat/completions", "/v1/models", "/v1/completions", "/api/lessons", "/api/versions"} <= paths.keys()
    assert http.get("/").status_code == 200  # the window is still there


def test_foreign_pages_cannot_teach(http: httpx.Client) -> None:
    lesson = {"text": "Zorbl Kint founded Quexal Works."}
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert http.post("/api/lessons", json=lesson, headers=headers).status_code in (400, 403)


def test_simon_willisons_llm_speaks_to_it(served: str, client: openai.OpenAI, name: str, tmp_path: Path) -> None:
    wanted = client.chat.completions.create(model=name, messages=QUESTION, **GREEDY).choices[0].message.content
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: qf\n  model_name: {name}\n  api_base: {served}/v1\n  api_key_name: none\n"
    )
    program = Path(sys.executable).with_name("llm")
    environment = {"LLM_USER_PATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    options = ["-o", "temperature", "0", "-o", "max_tokens", "24"]
    for more in ([], ["--no-stream"]):
        said = subprocess.run(
            [program, "-m", "qf", "--key", "none", *more, *options, QUESTION[0]["content"]],
            capture_output=True, text=True, check=False, env=environment, timeout=120,
        )  # fmt: skip
        assert said.returncode == 0 and said.stdout.strip() == wanted.strip(), said.stderr
