"""The tools of the Model Context Protocol over the open window of a home, which is asked as any program asks it."""

import threading
from typing import Any

import httpx

from app import words
from app.api.schemas import LONGEST_ANSWER
from app.mcp_server import EngineTools
from qfcore.errors import QFError


class WindowTools(EngineTools):
    """The same tools with the same results; `client` speaks with the window (see app/beside.py)."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._one = threading.Lock()  # the window refuses programs that ask much at once

    def ask(self, question: str, version: str = "live", max_tokens: int = 256) -> dict[str, Any]:
        base = self._call("GET", "/v1/models")["data"][0]["id"]
        body = {
            "model": base if version == "live" else f"{base}:{version}", "temperature": 0,
            "messages": [{"role": "user", "content": question}], "max_tokens": max(1, min(max_tokens, LONGEST_ANSWER)),
        }  # fmt: skip
        answer = self._call("POST", "/v1/chat/completions", json=body)
        return {"answer": answer["choices"][0]["message"]["content"], **answer["qf"]}

    def teach(
        self, text: str, question: str = "", answer: str = "", replaces: list[int] | None = None, method: str = "thorough"
    ) -> dict[str, Any]:
        body = {"text": text, "question": question, "answer": answer, "replaces": replaces or [], "method": method}
        taught = self._call("POST", "/api/lessons", json={**body, "source": "mcp"})
        asked = [
            {"question": a["question"], "before": a["before"], "now": a["after"], "ok": a["ok"]}
            for a in taught["report"]["answers"]
        ]
        return {"learned": taught["learned"], "lesson": taught["lesson"], "version": taught["version"], "asked": asked}

    def lessons(self, version: str = "live", search: str = "") -> list[dict[str, Any]]:
        found = self._call("GET", "/api/lessons", params={"version": version})
        wanted = search.casefold().strip()
        return [_lesson(record) for record in found if wanted in record["text"].casefold()]

    def forget(self, lesson: int) -> dict[str, Any]:
        return _version(self._call("DELETE", f"/api/lessons/{lesson}"))

    def versions(self, limit: int = 20) -> list[dict[str, Any]]:
        found = self._call("GET", "/api/versions")[: max(limit, 0)]
        return [{**_version(version), "live": version["live"]} for version in found]

    def restore(self, version: str) -> dict[str, Any]:
        found = self._call("GET", "/api/diff", params={"old": version, "new": version})  # a name may not fit into an address
        return _version(self._call("POST", f"/api/versions/{found['old']}/restore"))

    def why(self, question: str, version: str = "live") -> list[dict[str, Any]]:
        found = self._call("GET", "/api/why", params={"question": question, "version": version})
        return [{**_lesson(origin["lesson"]), "version": origin["version"]["number"]} for origin in found]

    def _call(self, method: str, path: str, **more: Any) -> Any:
        """What the window answers.

        Raises:
            QFError: it refuses, in its words, or does not answer any more.
        """
        try:
            with self._one:
                response = self._client.request(method, path, **more)
            value = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise QFError(words.WINDOW_GONE.format(why=type(error).__name__)) from error
        if response.is_success:
            return value
        said = value.get("error", {}).get("message") if isinstance(value, dict) else None
        raise QFError(said or words.WINDOW_GONE.format(why=f"HTTP {response.status_code}"))


def _lesson(record: dict) -> dict[str, Any]:
    names = {"lesson": "number", "text": "text", "question": "question", "answer": "answer", "source": "source"}
    return {**{ours: record[theirs] for ours, theirs in names.items()}, "taught": record["taught"]}


def _version(version: dict) -> dict[str, Any]:
    names = {"version": "number", "kind": "kind", "message": "message", "lessons": "lessons", "created": "created"}
    return {ours: version[theirs] for ours, theirs in names.items()}
