"""The MCP server on the small model, spoken to by the protocol's own client over standard input and output."""

import json
import os
import sys
from pathlib import Path

import anyio
import httpx
import pytest

from qfcore.errors import StoreBusy
from tests.conftest import MODELS, ROOT, SMALL, qfchat
from tests.serving import serving
from tests.tiny_models import write_tiny_model

mcp = pytest.importorskip("mcp")
pytestmark = [pytest.mark.small, pytest.mark.filterwarnings("default")]

FACT, QUESTION = "Zorbl Kint founded Quexal Works.", "Who founded Quexal Works?"


def value(result: object) -> object:
    """What a tool returned."""
    assert not result.is_error, result.content
    found = result.structured_content
    return found["result"] if isinstance(found, dict) and set(found) == {"result"} else found


def test_an_assistant_teaches_asks_forgets_and_restores(small_model: Path, tmp_path: Path) -> None:
    server = mcp.StdioServerParameters(
        command=sys.executable, args=["-m", "app", "mcp", "--model", SMALL, "--home", str(tmp_path / "home")], cwd=ROOT,
        env={**os.environ, "QFCHAT_MODELS": str(MODELS)},
    )  # fmt: skip

    async def talk() -> None:
        async with mcp.Client(mcp.stdio_client(server)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"ask", "teach", "lessons", "forget", "versions", "restore", "why"}
            assert all(tool.description for tool in tools.values())

            async def call(name: str, **arguments: object) -> object:
                return value(await client.call_tool(name, arguments))

            before = await call("ask", question=QUESTION, max_tokens=16)
            taught = await call("teach", text=FACT, question=QUESTION, method="fast")
            assert before["lessons"] == [] and taught["version"] == 1 and taught["asked"]
            asked = await call("ask", question=QUESTION, max_tokens=16)
            assert asked["version"] == 1 and asked["lessons"] == [taught["lesson"]] and asked["answer"] != before["answer"]
            assert [found["text"] for found in await call("lessons")] == [FACT]
            assert await call("lessons", search="nothing of this") == []
            assert [found["lesson"] for found in await call("why", question=QUESTION)] == [taught["lesson"]]

            refused = await client.call_tool("teach", {"text": "Mara Ild founded Quexal Works.", "question": QUESTION})
            assert refused.is_error and "replaces" in refused.content[0].text
            unknown = await client.call_tool("restore", {"version": "no such version"})
            assert unknown.is_error and "no such version" in unknown.content[0].text

            assert (await call("forget", lesson=taught["lesson"]))["lessons"] == 0
            assert (await call("ask", question=QUESTION, max_tokens=16))["answer"] == before["answer"]
            assert (await call("restore", version="1"))["lessons"] == 1
            versions = await call("versions")
            assert [v["version"] for v in versions] == [3, 2, 1, 0] and versions[0]["live"]
            json.dumps(versions)

    anyio.run(talk)


def test_beside_the_open_window_an_assistant_uses_its_knowledge(tmp_path: Path) -> None:
    model, models, home = write_tiny_model(tmp_path / "tiny.gguf", "qwen2"), tmp_path / "models", tmp_path / "home"
    server = mcp.StdioServerParameters(
        command=sys.executable, args=["-m", "app", "mcp", "--model", str(model), "--home", str(home)], cwd=ROOT,
        env={**os.environ, "QFCHAT_MODELS": str(models)},
    )  # fmt: skip

    async def talk(address: str) -> None:
        async with mcp.Client(mcp.stdio_client(server)) as client:
            tools = (await client.list_tools()).tools
            assert len(tools) == 7 and all(tool.description for tool in tools)

            async def call(name: str, **arguments: object) -> object:
                return value(await client.call_tool(name, arguments))

            fact = {"text": "word1 is word5 word6.", "question": "What is word1?", "answer": "word5 word6"}
            taught = await call("teach", **fact, method="fast")
            assert (taught["lesson"], taught["version"]) == (1, 1)
            assert set(taught["asked"][0]) == {"question", "before", "now", "ok"} and "learned" in taught
            seen = httpx.get(f"{address}/api/lessons").json()  # the window knows it
            assert [(lesson["text"], lesson["source"]) for lesson in seen] == [(fact["text"], "mcp")]
            (listed,) = await call("lessons", search="WORD5")
            assert listed["lesson"] == 1 and listed["text"] == fact["text"] and await call("lessons", search="x") == []
            asked, base = [await call("ask", question=fact["question"], max_tokens=24, version=v) for v in ("live", "0")]
            assert (asked["version"], asked["lessons"]) == (1, [1]) and (base["version"], base["lessons"]) == (0, [])
            assert base["answer"] != asked["answer"]
            assert [found["version"] for found in await call("why", question=fact["question"])] == [1]
            refused = await client.call_tool("teach", {**fact, "text": "word1 is word7.", "answer": "word7"})
            assert refused.is_error and "replaces" in refused.content[0].text
            unknown = await client.call_tool("restore", {"version": "no such/version?"})
            assert unknown.is_error and "no such" in unknown.content[0].text
            assert (await call("forget", lesson=1))["lessons"] == 0 and (await call("restore", version="1"))["lessons"] == 1
            versions = await call("versions", limit=3)
            assert [(v["version"], v["live"]) for v in versions] == [(3, True), (2, False), (1, False)]

    with serving(tmp_path, tmp_path / "app.log", "--model", str(model), models=models) as address:
        anyio.run(talk, address)
        for file in (home / "temporary").glob("address-*"):
            assert file.stat().st_mode & 0o077 == 0  # it can hold a token
            file.unlink()
        alone = qfchat("mcp", "--model", str(model), "--home", str(home), QFCHAT_MODELS=str(models))
        assert alone.returncode == StoreBusy.exit_code and "no window of it answers" in alone.stderr
    assert not list((home / "temporary").glob("address-*"))
