"""What the window can do in conversations. No Gradio here, so everything can be tried without a browser."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

from app import chat_files, words
from app.answering import STOP_SECONDS, Answering, Run
from app.desk import Desk
from app.present.chat import chat_choices, is_cut, last_stats, position_of, title_from
from app.restart import Restart
from app.shelf import Shelf
from qfcore.engine import Engine
from qfcore.errors import NotFound
from qfcore.runtime.protocol import AnswerStats, Sampling, Thought
from qfcore.runtime.thoughts import split_thoughts
from qfcore.store.records import Message


@dataclass(frozen=True)
class Fork:
    """A place of the shown branch with alternatives: message `position` is number `which` of `of`."""

    position: int
    which: int
    of: int


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
        return self._begin(chat_id, path, system, sampling, version, think=think)

    def go_on(
        self, chat_id: int, *, system: str = "", sampling: Sampling | None = None, version: str | int | None = None,
        think: bool = False,
    ) -> Run | None:  # fmt: skip
        """Begin to continue an answer that ended because it was as long as it may be; None when the last one did not.

        think: without effect; the answer has begun.

        The longer answer is stored as an alternative of the shorter one.
        """
        if run := self.answering.run(chat_id):
            return run
        path = self.path(chat_id)
        if not path or not is_cut(path) or len(path) < 2:
            return None
        self.engine.store.chats.set_leaf(chat_id, path[-2].id)
        return self._begin(chat_id, path[:-1], system, sampling, version, said=path[-1].content)

    def _begin(
        self, chat_id: int, path: list[Message], system: str, sampling: Sampling | None, version: str | int | None,
        said: str = "", think: bool = False,
    ) -> Run:  # fmt: skip
        before = [{"role": "system", "content": system.strip()}] if system.strip() else []
        messages = [{"role": m.role, "content": m.content.removesuffix(words.STOPPED)} for m in path]
        going_on = [{"role": "assistant", "content": said}] if said else []
        room = (sampling or Sampling()).max_tokens
        start = int((last_stats(path) or {}).get("unread", 0))

        def pieces(stop: Event) -> Iterator[str | Thought | AnswerStats]:
            nonlocal start
            start = self._first_read(before, messages, going_on, start, room)
            kept = _from(start, before, messages, going_on)
            thinks = think and self.engine.runtime.facts.thinks
            yield from self.engine.stream(kept, sampling=sampling, version=version, stop=stop, think=thinks)

        return self.answering.begin(
            chat_id, pieces, lambda text, stats: self._store_answer(chat_id, path[-1].id, text, stats, start), said,
            lambda: self._show_old_answer(path[-1]),
        )

    def _first_read(self, before: list, messages: list, going_on: list, start: int, room: int) -> int:
        """Position of the first message that is read: all of them when they fit, else what fits into half of the context.

        start: where the last answer began to read. It is kept while it fits, so that what was computed then is used again.
        """
        size, count = self.engine.runtime.facts.context_size, self.engine.runtime.count_tokens
        limit = size - min(room, size // 4)
        turns = [i for i, m in enumerate(messages) if m["role"] == "user" and i > start]
        if not turns or count(_from(start, before, messages, going_on)) <= limit:
            return start
        low, high = 0, len(turns) - 1
        while low < high:  # the fewest turns to drop: later beginnings have fewer tokens
            middle = (low + high) // 2
            if count(_from(turns[middle], before, messages, going_on)) <= min(limit, size // 2):
                high = middle
            else:
                low = middle + 1
        return turns[low]

    def _store_answer(self, chat_id: int, parent: int, text: str, stats: AnswerStats | None, unread: int) -> None:
        figures = asdict(stats) | {"unread": unread} if stats else {"stopped": True}
        self.engine.store.chats.add_message(
            chat_id, parent, "assistant", text, version=stats.version if stats else None, stats=figures
        )

    def _show_old_answer(self, question: Message) -> None:
        """Back to the answer that was to be replaced, or continued; a question without one stays open."""
        tree = self.engine.store.chats.tree(question.chat_id)
        if old := [m.id for m in tree if m.parent_id == question.id and m.role == "assistant"]:
            self.engine.store.chats.show(old[-1])

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

    def edit(self, chat_id: int, index: int, text: str, first: int = 0) -> None:
        """Say something else at what is shown at `index`, counted from message `first` on; the old branch is kept.

        Raises:
            ChatBusy: it is being answered. NotFound: the conversation changed meanwhile.
        """
        self.answering.check_idle(chat_id)
        path = self.path(chat_id)
        parent = path[_position(path, index, first)].parent_id
        self.engine.store.chats.add_message(chat_id, parent, "user", text)

    def turn(self, chat_id: int | None, step: int, position: int | None = None) -> None:
        """Show the previous (-1) or next (+1) alternative at a fork of the shown branch; None is the last fork."""
        self.answering.check_idle(chat_id)
        path = self.path(chat_id)
        forks = {fork.position: fork for fork in self.forks(path)}
        fork = forks.get(position, next(reversed(forks.values()), None))
        if fork is None:
            return
        siblings = self.engine.store.chats.siblings(path[fork.position].id)
        if 0 <= fork.which - 1 + step < len(siblings):
            self.engine.store.chats.show(siblings[fork.which - 1 + step].id)

    def forks(self, path: list[Message]) -> list[Fork]:
        """Where a branch could go on otherwise, from its beginning."""
        if not path:
            return []
        alternatives: dict[tuple, list[int]] = defaultdict(list)
        for message in self.engine.store.chats.tree(path[0].chat_id):
            alternatives[message.parent_id, message.role].append(message.id)
        groups = [alternatives[message.parent_id, message.role] for message in path]
        return [
            Fork(position, ids.index(message.id) + 1, len(ids))
            for position, (message, ids) in enumerate(zip(path, groups, strict=True))
            if len(ids) > 1
        ]

    def question_and_answer(self, chat_id: int | None, index: int, first: int = 0) -> tuple[str, str]:
        """A shown answer, without its thoughts, and the question before it; index counts what is shown from `first` on.

        Raises:
            NotFound: the conversation changed meanwhile.
        """
        path = self.path(chat_id)
        position = _position(path, index, first)
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
            raise NotFound(words.NO_CHAT_TO_EXPORT)
        chats = self.engine.store.chats
        chat = chats.get(chat_id)
        content = chat_files.to_markdown(chat, chats.path(chat_id)) if form == "md" else chat_files.to_json(
            chat, chats.tree(chat_id)
        )
        return chat_files.file_name(chat, form), content

    def import_file(self, path: Path) -> int:
        """Add a conversation from an uploaded file, which is then deleted; raises as `import_chat` does."""
        try:
            return self.import_chat(chat_files.read_file(path))
        finally:
            if path.resolve().is_relative_to(self.engine.paths.temporary.resolve()):
                path.unlink(missing_ok=True)

    def import_chat(self, content: str) -> int:
        """Add a conversation from JSON; its id. Raises ChatFileError when it is none, or too large."""
        read = chat_files.from_json(content)
        return self.engine.store.chats.add_tree(read.title, read.messages, settings=read.settings, shown=read.shown).id


def _from(start: int, before: list, messages: list, going_on: list) -> list:
    """What is read of a conversation: the system prompts, and everything from message `start` on."""
    return [*before, *(m for m in messages[:start] if m["role"] == "system"), *messages[start:], *going_on]


def _position(path: list[Message], index: int, first: int) -> int:
    """Place in a branch of what is shown at `index`; NotFound when nothing is shown there."""
    position = position_of(path, index, first)
    if position is None:
        raise NotFound(words.MESSAGE_GONE)
    return position
