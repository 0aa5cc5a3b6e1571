"""Knowledge for other programs' assistants: the engine's verbs as tools of the Model Context Protocol (the extra `mcp`)."""

import functools
import importlib.metadata
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qfcore.errors import LessonError, QFError
from qfcore.lesson import check_lesson
from qfcore.recipe import recipe_named

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from qfcore.engine import Engine
    from qfcore.store.records import LessonRecord, Version

INSTRUCTIONS = (
    "A local language model that learns facts into its weights. Teach one fact at a time, as a sentence that stands alone; "
    "it is remembered in every later conversation. Every change is a version, and any version can be restored."
)


def missing_extra() -> QFError:
    """What is said when the extra is not installed."""
    return QFError("The MCP server needs the extra `mcp`: pip install 'qfchat[mcp]'.")


def build_server(tools: "EngineTools") -> "MCPServer":
    """A server over one engine, or over an open window; its tools run one after another, in the model's own queue.

    Raises:
        QFError: the extra `mcp` is not installed.
    """
    try:
        from mcp.server import MCPServer
    except ImportError as error:
        raise missing_extra() from error
    number = importlib.metadata.version("qfchat")
    server = MCPServer("qfchat", title="QF Chat", instructions=INSTRUCTIONS, version=number, log_level="WARNING")
    for function in tools.all():
        server.tool()(_explained(function))
    return server


def _explained(function: Callable) -> Callable:
    """A QFError becomes an answer that the assistant can read and act on."""
    from mcp.server.mcpserver.exceptions import ToolError

    @functools.wraps(function)
    def wrapper(*arguments: Any, **more: Any) -> Any:
        try:
            return function(*arguments, **more)
        except QFError as error:
            raise ToolError(str(error)) from error

    wrapper.__doc__ = inspect.getdoc(function)  # also where another class's tool takes it over
    return wrapper


class EngineTools:
    """The tools, over an engine of this process. Their names, arguments and docstrings are what an assistant sees."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def all(self) -> tuple[Callable, ...]:
        return self.ask, self.teach, self.lessons, self.forget, self.versions, self.restore, self.why

    def ask(self, question: str, version: str = "live", max_tokens: int = 256) -> dict[str, Any]:
        """Ask the model in a fresh conversation. version: a number or name from `versions`."""
        chosen = self._engine.store.version(version)
        answer = self._engine.ask(question, version=chosen.number, max_tokens=max(1, min(max_tokens, 4096)))
        active = self._engine.active_lessons(question, version=chosen.number)
        return {"answer": answer, "version": chosen.number, "lessons": list(active)}

    def teach(
        self, text: str, question: str = "", answer: str = "", replaces: list[int] | None = None, method: str = "thorough"
    ) -> dict[str, Any]:
        """Teach one fact or instruction into the model's weights and make it live; takes some seconds.

        text: a sentence that stands alone. question: one that it answers (the model writes one when empty). answer: the
        wished answer. replaces: numbers of lessons that this one corrects. method: "thorough" or "fast".
        """
        engine, recipe = self._engine, recipe_named(method)
        lesson, gone = check_lesson(text, question, answer, source="mcp"), replaces or []
        engine.prepare()
        found = [r.number for r in engine.contradictions([lesson], recipe=recipe) if r.number not in gone]
        if found:
            raise LessonError(
                f"Lesson {', '.join(map(str, found))} answers this question otherwise. Name it in `replaces` to correct it."
            )
        preview = engine.preview([lesson], replaces=[str(number) for number in gone], recipe=recipe)
        version = engine.apply(preview)
        asked = [{"question": a.question, "before": a.before, "now": a.after, "ok": a.ok} for a in preview.report.answers]
        number = engine.store.lesson(lesson.id).number
        return {"learned": preview.report.learned, "lesson": number, "version": version.number, "asked": asked}

    def lessons(self, version: str = "live", search: str = "") -> list[dict[str, Any]]:
        """What a version was taught; search: only lessons that contain this text."""
        store, wanted = self._engine.store, search.casefold().strip()
        return [_lesson(r) for r in store.lessons(store.version(version)) if wanted in r.lesson.text.casefold()]

    def forget(self, lesson: int) -> dict[str, Any]:
        """Forget one lesson by its number, exactly as if it had never been taught; the history keeps it."""
        return _version(self._engine.forget(str(lesson)))

    def versions(self, limit: int = 20) -> list[dict[str, Any]]:
        """The history of what the model knew, newest first."""
        live = self._engine.store.live().number
        return [{**_version(v), "live": v.number == live} for v in self._engine.store.versions()[: max(limit, 0)]]

    def restore(self, version: str) -> dict[str, Any]:
        """Go back to what a version knew ("0" or "base" is the untaught model); a new version, nothing is lost."""
        return _version(self._engine.restore(version))

    def why(self, question: str, version: str = "live") -> list[dict[str, Any]]:
        """Which lessons shape the answer to a question, and when they were taught."""
        found = self._engine.why(question, version=version)
        return [{**_lesson(origin.record), "version": origin.version.number} for origin in found]


def _lesson(record: "LessonRecord") -> dict[str, Any]:
    lesson = record.lesson
    return {"lesson": record.number, "text": lesson.text, "question": lesson.question, "answer": lesson.answer,
            "source": lesson.source, "taught": record.created_at}  # fmt: skip


def _version(version: "Version") -> dict[str, Any]:
    return {"version": version.number, "kind": version.kind, "message": version.message, "lessons": len(version.entries),
            "created": version.created_at}  # fmt: skip
