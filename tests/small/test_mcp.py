"""The MCP server on the small model, spoken to by the protocol's own client over standard input and output."""

import json
import os
import sys
from pathlib import Path

import anyio
import pytest

from tests.conftest import MODELS, ROOT, SMALL

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
