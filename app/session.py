"""What the window can do. No Gradio here, so everything can be tried without a browser."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from app import present, words
from app.answering import STOP_SECONDS, Answering, Run
from qfcore.engine import Engine
from qfcore.errors import NotFound
from qfcore.lesson import check_lesson
from qfcore.recipe import recipe_named
from qfcore.runtime.protocol import AnswerStats, Sampling
from qfcore.store.records import Message, Version
from qfcore.teach import Preview

_PREVIEWS_KEPT = 8


class Session:
    """One engine behind the window; tabs share it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.answering = Answering()
        self._cancels: dict[str, threading.Event] = {}
        self._previews: dict[int, Preview] = {}
        self._numbers = itertools.count(1)

    # -- chat ---------------------------------------------------------------------------------------------------

    def chats(self, search: str = "") -> list[tuple[str, int]]:
        """Conversations as (title, id), the latest first."""
        return present.chat_choices(self.engine.store.chats.all(search))

    def path(self, chat_id: int | None) -> list[Message]:
        """The shown branch of a conversation; empty for none."""
        return self.engine.store.chats.path(chat_id) if chat_id else []

    def say(self, chat_id: int | None, text: str) -> int:
        """Add a user's message; a conversation is made when there is none. The conversation's id.

        Raises:
            ChatBusy: the conversation is being answered. NotFound: it was deleted meanwhile.
        """
        self.answering.check_idle(chat_id)
        chats = self.engine.store.chats
        if not chat_id:
            chat_id = chats.create(present.title_from(text)).id
        path = chats.path(chat_id)
        chats.add_message(chat_id, path[-1].id if path else None, "user", text)
        return chat_id

    def answer(self, chat_id: int, *, system: str = "", temperature: float = 0.7, max_tokens: int = 1024) -> Run | None:
        """Begin to answer the last user's message; it is stored at the end. None when no question waits for an answer."""
        if run := self.answering.run(chat_id):
            return run
        path = self.path(chat_id)
        if not path or path[-1].role != "user":
            return None
        messages = [{"role": m.role, "content": m.content} for m in path]
        if system.strip():
            messages.insert(0, {"role": "system", "content": system.strip()})
        sampling = Sampling(temperature, max_tokens=max_tokens)
        return self.answering.begin(
            chat_id,
            lambda stop: self.engine.stream(messages, sampling=sampling, stop=stop),
            lambda text, stats: self._store_answer(chat_id, path[-1].id, text, stats),
        )

    def _store_answer(self, chat_id: int, parent: int, text: str, stats: AnswerStats | None) -> None:
        if stats is None or stats.stopped:
            text += words.STOPPED
        version = stats.version if stats else None
        self.engine.store.chats.add_message(
            chat_id, parent, "assistant", text, version=version, stats=asdict(stats) if stats else None
        )

    def delete(self, chat_id: int) -> None:
        """Delete a conversation; an answer in progress is stopped first."""
        self.answering.stop(chat_id, wait=STOP_SECONDS)
        self.engine.store.chats.delete(chat_id)

    def back_to_question(self, chat_id: int) -> None:
        """Show the branch that ends with the last user's message, to answer it again; the old answer is kept."""
        self.answering.check_idle(chat_id)
        path = self.path(chat_id)
        while path and path[-1].role != "user":
            path.pop()
        if path:
            self.engine.store.chats.set_leaf(chat_id, path[-1].id)

    def edit(self, chat_id: int, index: int, text: str) -> None:
        """Say something else at message `index`; the old branch is kept. ChatBusy while it is being answered."""
        self.answering.check_idle(chat_id)
        path = self.path(chat_id)
        parent = path[index - 1].id if index > 0 else None
        self.engine.store.chats.add_message(chat_id, parent, "user", text)

    def turn(self, chat_id: int | None, step: int) -> None:
        """Show the previous (-1) or next (+1) alternative of the last answer."""
        self.answering.check_idle(chat_id)
        path = self.path(chat_id)
        if not path:
            return
        siblings = self.engine.store.chats.siblings(path[-1].id)
        position = [m.id for m in siblings].index(path[-1].id) + step
        if 0 <= position < len(siblings):
            self.engine.store.chats.show(siblings[position].id)

    def alternatives(self, path: list[Message]) -> tuple[int, int]:
        """(which, of how many) alternatives of a branch's last message are shown."""
        if not path:
            return 0, 0
        ids = [m.id for m in self.engine.store.chats.siblings(path[-1].id)]
        return ids.index(path[-1].id) + 1, len(ids)

    # -- teach --------------------------------------------------------------------------------------------------

    def conflicts(self, text: str, question: str) -> list[tuple[str, str]]:
        """Live lessons that answer the same question otherwise, as (label, id)."""
        lesson = check_lesson(text, question)
        found = self.engine.teacher.conflicts(lesson, self.engine.store.live())
        return present.lesson_choices(found)

    def preview(
        self, text: str, question: str, answer: str, method: str, tab: str, replaces: list[str],
        on_progress: Callable[[float, str], None],
    ) -> tuple[int, Preview]:  # fmt: skip
        """Learn without making it live; a number that `apply` takes, and the preview."""
        lesson = check_lesson(text, question, answer)
        cancel = self._cancels[tab] = threading.Event()
        recipe = recipe_named(method)
        self.engine.prepare(lambda f, t: on_progress(f, f"{words.PREPARING}: {t}"), cancel)
        made = self.engine.preview([lesson], replaces=replaces, recipe=recipe, on_progress=on_progress, cancel=cancel)
        number = next(self._numbers)
        self._previews[number] = made
        for old in sorted(self._previews)[:-_PREVIEWS_KEPT]:
            del self._previews[old]
        return number, made

    def apply(self, number: int | None) -> Version:
        """Make a preview live.

        Raises:
            NotFound: there is no such preview (any more). StoreBusy: the live version moved meanwhile.
        """
        if number not in self._previews:
            raise NotFound("There is no preview to apply. Press Preview first.")
        version = self.engine.apply(self._previews[number])
        del self._previews[number]
        return version

    def cancel_teaching(self, tab: str) -> None:
        """Stop a preview in progress."""
        if tab in self._cancels:
            self._cancels[tab].set()

    # -- versions and export ------------------------------------------------------------------------------------

    def timeline(self) -> str:
        """The history as HTML."""
        versions = self.engine.store.versions()
        return present.timeline(versions, self.engine.store.live().number, present.lesson_counts(versions))

    def version_choices(self) -> list[tuple[str, int]]:
        """Versions as (label, number), newest first."""
        return present.version_choices(self.engine.store.versions(), self.engine.store.live().number)

    def export_path(self, version: Version) -> str:
        """Where a version is exported to unless the user says otherwise."""
        name = self.engine.store.model.name.split(" (")[0].replace(" ", "-")
        return str(self.engine.paths.exports / f"{name}-v{version.number}.gguf")

    def export(self, kind: str, version: int, path: str, on_progress: Callable[[float, str], None]) -> dict:
        """Write a version as a file.

        Raises:
            ExportError: see the engine.
        """
        out = Path(path).expanduser()
        if not out.is_absolute():
            out = self.engine.paths.exports / out
        if out.parent == self.engine.paths.exports:
            out.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if kind == "adapter":
            return self.engine.export_adapter(out, version)
        return self.engine.export_gguf(out, version, on_progress=on_progress)

