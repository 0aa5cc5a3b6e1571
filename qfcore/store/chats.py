"""Conversations: trees of messages. Retry and edit add a sibling; the chat's leaf says which branch is shown."""

import json
from collections.abc import Callable, Mapping, Sequence

from qfcore.errors import NotFound
from qfcore.store.database import StoreDatabase
from qfcore.store.records import Chat, Message

_CHAT = "SELECT id, title, created_at, updated_at, leaf, settings FROM chats"
_MESSAGE = "SELECT id, chat_id, parent_id, role, content, version, stats, created_at FROM messages"


class ChatTables:
    """The chats of a store."""

    def __init__(self, database: StoreDatabase, clock: Callable[[], str]) -> None:
        self._database, self._clock = database, clock

    def create(self, title: str = "") -> Chat:
        """A new, empty conversation."""
        with self._database.writing() as db:
            now = self._clock()
            done = db.execute(
                "INSERT INTO chats (title, created_at, updated_at) VALUES (?, ?, ?)", [title, now, now]
            )
            return Chat(done.lastrowid, title, now, now, None)

    def all(self, search: str = "") -> list[Chat]:
        """Conversations whose title or messages contain `search` in capitals or not, the latest first."""
        wanted = search.casefold()
        where = "WHERE instr(fold(title), ?) OR id IN (SELECT chat_id FROM messages WHERE instr(fold(content), ?))"
        with self._database.reading() as db:
            rows = db.execute(
                f"{_CHAT} {where if wanted else ''} ORDER BY updated_at DESC, id DESC", [wanted, wanted] if wanted else []
            ).fetchall()
        return [_chat(row) for row in rows]

    def get(self, chat_id: int) -> Chat:
        """One conversation; NotFound when there is none."""
        with self._database.reading() as db:
            row = db.execute(f"{_CHAT} WHERE id = ?", [chat_id]).fetchone()
        if row is None:
            raise NotFound(f"There is no conversation {chat_id}; it may have been deleted in another tab.")
        return _chat(row)

    def rename(self, chat_id: int, title: str) -> None:
        """Give a conversation another title."""
        self.get(chat_id)
        with self._database.writing() as db:
            db.execute("UPDATE chats SET title = ? WHERE id = ?", [title, chat_id])

    def keep_settings(self, chat_id: int, settings: Mapping) -> None:
        """Store how a conversation is answered, when it differs from what is stored."""
        if self.get(chat_id).settings != settings:
            with self._database.writing() as db:
                db.execute("UPDATE chats SET settings = ? WHERE id = ?", [json.dumps(settings, allow_nan=False), chat_id])

    def delete(self, chat_id: int) -> None:
        """Delete a conversation and all its messages."""
        with self._database.writing() as db:
            db.execute("DELETE FROM chats WHERE id = ?", [chat_id])

    def add_message(
        self, chat_id: int, parent_id: int | None, role: str, content: str, *,
        version: int | None = None, stats: dict | None = None,
    ) -> Message:  # fmt: skip
        """Append below `parent_id`; the conversation shows this branch from now on.

        Raises:
            NotFound: the conversation or the parent is gone.
        """
        self.get(chat_id)
        if parent_id is not None:
            self.message(parent_id)
        with self._database.writing() as db:
            now = self._clock()
            done = db.execute(
                "INSERT INTO messages (chat_id, parent_id, role, content, version, stats, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [chat_id, parent_id, role, content, version, json.dumps(stats or {}, allow_nan=False), now],
            )
            key = done.lastrowid
            db.execute("UPDATE chats SET leaf = ?, updated_at = ? WHERE id = ?", [key, now, chat_id])
        return self.message(key)

    def message(self, message_id: int) -> Message:
        """One message; NotFound when there is none."""
        with self._database.reading() as db:
            row = db.execute(f"{_MESSAGE} WHERE id = ?", [message_id]).fetchone()
        if row is None:
            raise NotFound(f"There is no message {message_id}; it may have been deleted in another tab.")
        return _message(row)

    def path(self, chat_id: int) -> list[Message]:
        """The shown branch, from the first message to the leaf."""
        leaf = self.get(chat_id).leaf
        with self._database.reading() as db:
            rows = db.execute(f"{_MESSAGE} WHERE chat_id = ?", [chat_id]).fetchall()
        nodes = {row[0]: _message(row) for row in rows}
        path: list[Message] = []
        while leaf is not None and leaf in nodes:
            path.append(nodes[leaf])
            leaf = nodes[leaf].parent_id
        return path[::-1]

    def tree(self, chat_id: int) -> list[Message]:
        """All messages of a conversation, oldest first."""
        self.get(chat_id)
        with self._database.reading() as db:
            return [_message(row) for row in db.execute(f"{_MESSAGE} WHERE chat_id = ? ORDER BY id", [chat_id]).fetchall()]

    def add_tree(
        self, title: str, messages: Sequence[Mapping], *, settings: dict | None = None, shown: int | None = None
    ) -> Chat:
        """A conversation with all its messages at once; `parent` is a position in the list.

        shown: position of the last message of the branch that is shown; None for the last message of all.
        """
        with self._database.writing() as db:
            now, ids = self._clock(), []
            done = db.execute("INSERT INTO chats (title, created_at, updated_at) VALUES (?, ?, ?)", [title, now, now])
            chat_id = done.lastrowid
            for message in messages:
                parent = ids[message["parent"]] if message["parent"] is not None else None
                added = db.execute(
                    "INSERT INTO messages (chat_id, parent_id, role, content, version, stats, created_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [chat_id, parent, message["role"], message["content"], message["version"],
                     json.dumps(message.get("stats", {})), now],
                )
                ids.append(added.lastrowid)
            leaf = ids[-1 if shown is None else shown] if ids else None
            db.execute("UPDATE chats SET leaf = ?, settings = ? WHERE id = ?", [leaf, json.dumps(settings or {}), chat_id])
        return self.get(chat_id)

    def siblings(self, message_id: int) -> list[Message]:
        """The message and its alternatives, oldest first."""
        message = self.message(message_id)
        with self._database.reading() as db:
            rows = db.execute(
                f"{_MESSAGE} WHERE chat_id = ? AND parent_id IS ? AND role = ? ORDER BY id",
                [message.chat_id, message.parent_id, message.role],
            ).fetchall()
        return [_message(row) for row in rows]

    def set_leaf(self, chat_id: int, message_id: int) -> None:
        """Show the branch that ends with this message."""
        self.message(message_id)
        with self._database.writing() as db:
            db.execute("UPDATE chats SET leaf = ? WHERE id = ?", [message_id, chat_id])

    def show(self, message_id: int) -> None:
        """Show the branch through this message, down to its latest leaf."""
        message = self.message(message_id)
        with self._database.writing() as db:
            leaf = message_id
            while child := db.execute("SELECT max(id) FROM messages WHERE parent_id = ?", [leaf]).fetchone()[0]:
                leaf = child
            db.execute("UPDATE chats SET leaf = ? WHERE id = ?", [leaf, message.chat_id])


def _chat(row: tuple) -> Chat:
    return Chat(*row[:5], json.loads(row[5]))


def _message(row: tuple) -> Message:
    return Message(*row[:6], json.loads(row[6]), row[7])
