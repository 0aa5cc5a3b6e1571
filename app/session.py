"""What the window can do in conversations. No Gradio here, so everything can be tried without a browser."""

from dataclasses import asdict

from app import chat_files, words
from app.answering import STOP_SECONDS, Answering, Run
from app.desk import Desk
from app.present.chat import chat_choices, position_of, title_from
from app.restart import Restart
from app.shelf import Shelf
from qfcore.engine import Engine
from qfcore.errors import NotFound
from qfcore.runtime.protocol import AnswerStats, Sampling
from qfcore.runtime.thoughts import split_thoughts
from qfcore.store.records import Message


class Session:
    """One engine behind the window; tabs share it. opened: the name by which its model was opened."""

    def __init__(self, engine: Engine, opened: str | None = None) -> None:
        self.engine = engine
        self.answering = Answering()
        self.desk = Desk(engine)
        self.shelf = Shelf(engine, opened)
        self.restart = Restart()

    def chats(self, search: str = "") -> list[tuple[str, int]]:
        """Conversations as (title, id), the latest first."""
        return chat_choices(self.engine.store.chats.all(search))

    def chat_or_none(self, chat_id: int | None) -> int | None:
        """The conversation's id while it exists."""
        if type(chat_id) is not int:
            return None
        try:
            return self.engine.store.chats.get(chat_id).id
        except NotFound:
            return None

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
            chat_id = chats.create(title_from(text)).id
        path = chats.path(chat_id)
        chats.add_message(chat_id, path[-1].id if path else None, "user", text)
        return chat_id

    def answer(
        self, chat_id: int, *, system: str = "", sampling: Sampling | None = None, version: str | int | None = None,
        think: bool = False,
    ) -> Run | None:  # fmt: skip
        """Begin to answer the last user's message; it is stored at the end. None when no question waits for an answer.

        version: answer with this one's knowledge; None is the live one. think: think first, if the model can.
        """
        if run := self.answering.run(chat_id):
            return run
        path = self.path(chat_id)
        if not path or path[-1].role != "user":
            return None
        messages = [{"role": m.role, "content": m.content} for m in path]
        if system.strip():
            messages.insert(0, {"role": "system", "content": system.strip()})
        return self.answering.begin(
            chat_id,
            lambda stop: self.engine.stream(
                messages, sampling=sampling, version=version, stop=stop, think=think and self.engine.runtime.facts.thinks
            ),
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
        """Say something else at what is shown at `index`; the old branch is kept.

        Raises:
            ChatBusy: it is being answered. NotFound: the conversation changed meanwhile.
        """
        self.answering.check_idle(chat_id)
        path = self.path(chat_id)
        position = position_of(path, index)
        if position is None:
            raise NotFound(words.MESSAGE_GONE)
        parent = path[position - 1].id if position else None
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

    def question_and_answer(self, chat_id: int | None, index: int) -> tuple[str, str]:
        """A shown answer, without its thoughts, and the question before it; index counts what is shown.

        Raises:
            NotFound: the conversation changed meanwhile.
        """
        path = self.path(chat_id)
        position = position_of(path, index)
        if position is None:
            raise NotFound(words.MESSAGE_GONE)
        asked = next((m.content for m in reversed(path[: position + 1]) if m.role == "user"), "")
        said = split_thoughts(path[position].content)[1].removesuffix(words.STOPPED.lstrip()).rstrip()
        return asked, said

    # -- conversations as files ---------------------------------------------------------------------------------

    def export_chat(self, chat_id: int | None, form: str) -> tuple[str, str]:
        """(file name, content) of a conversation: "md" is the shown branch to read, "json" the whole tree to keep.

        Raises:
            NotFound: there is no such conversation.
        """
        if not chat_id:
            raise NotFound("There is no conversation to export. Choose one on the left.")
        chats = self.engine.store.chats
        chat = chats.get(chat_id)
        content = chat_files.to_markdown(chat, chats.path(chat_id)) if form == "md" else chat_files.to_json(
            chat, chats.tree(chat_id)
        )
        return chat_files.file_name(chat, form), content

    def import_chat(self, content: str) -> int:
        """Add a conversation from JSON; its id. Raises ChatFileError when it is none."""
        title, messages = chat_files.from_json(content)
        return self.engine.store.chats.add_tree(title, messages).id
