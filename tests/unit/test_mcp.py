"""The tools of the MCP server over a real store and a model that says one thing; the protocol's own client asks."""

from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from qfcore.errors import NotFound
from tests.unit.test_exports import Desk

mcp = pytest.importorskip("mcp")
pytestmark = pytest.mark.filterwarnings("default")  # of the SDK


def test_tools_answer_and_say_in_words_what_went_wrong(tmp_path: Path) -> None:
    from app.mcp_server import EngineTools, build_server

    desk = Desk(tmp_path)
    number = desk.teach("The code is 7.")
    store = desk.store

    def forget(reference: str) -> object:
        raise NotFound(f"Version {number}, which is live, does not know lesson {reference}.")

    engine = SimpleNamespace(
        store=store, ask=lambda question, *, version, max_tokens: f"{question} {version} {max_tokens}",
        active_lessons=lambda question, *, version: (1,) if version else (), restore=store.restore, forget=forget,
        prepare=lambda: None, contradictions=lambda lessons, *, recipe: store.lessons(store.live()),
    )  # fmt: skip

    async def talk() -> None:
        async with mcp.Client(build_server(EngineTools(engine))) as client:
            async def call(name: str, **arguments: object) -> object:
                return await client.call_tool(name, arguments)

            assert {tool.name for tool in (await client.list_tools()).tools} == {
                "ask", "teach", "lessons", "forget", "versions", "restore", "why"
            }  # fmt: skip
            asked = await call("ask", question="Code?", max_tokens=99_999)
            assert asked.structured_content == {"answer": f"Code? {number} 4096", "version": number, "lessons": [1]}
            lessons = (await call("lessons", search="CODE")).structured_content["result"]
            assert [lesson["text"] for lesson in lessons] == ["The code is 7."]
            versions = (await call("versions", limit=1)).structured_content["result"]
            assert [(v["version"], v["live"]) for v in versions] == [(number, True)]
            assert (await call("restore", version="base")).structured_content["lessons"] == 0
            for name, arguments, words in (
                ("ask", {"question": "x", "version": "v99"}, "v99"), ("forget", {"lesson": 5}, "does not know lesson 5"),
                ("teach", {"text": "", "question": "x"}, "empty"), ("teach", {"text": "A.", "method": "magic"}, "magic"),
                ("ask", {}, "question"),
            ):  # fmt: skip
                refused = await call(name, **arguments)
                assert refused.is_error and words in refused.content[0].text
            store.restore(number)
            refused = await call("teach", text="The code is 8.", question="Code?")
            assert refused.is_error and "Lesson 1 answers this question otherwise" in refused.content[0].text

    anyio.run(talk)
    store.close()
