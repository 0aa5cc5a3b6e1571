"""Every error a user can meet, as one tree.

QFError
├── LessonError      a lesson that cannot be taught (empty, too long, bad rows)
├── Contradiction    a lesson says otherwise than a live one, and nobody decided which counts
├── NotFound         an unknown version, lesson, chat or model
├── NameRefused      a name that no version can have
├── ModelError       a model file that is missing, truncated or does not fit
│   └── CannotTeach  a model that chats, but has no layer that can be taught
├── HomeError        the data folder cannot be used (read-only, disk full)
│   ├── StoreBusy    another process or another change holds the store
│   └── StoreUnfinished  a killed process left a change half done; it is undone when the store is opened for writing
├── StoreCorrupt     stored bytes do not match their hash
├── ExportError      a file could not be written
├── BundleError      a file that cannot be imported
├── ChatFileError    a file that holds no conversation
├── PortInUse        the window's port is taken
├── RuntimeFailure   the model's runtime failed
│   └── TooLong      a conversation that does not fit into the context
├── ChatBusy         the conversation is being answered
└── Cancelled        the user stopped it; nothing was changed

Messages say what it was, what was expected and what to do. Exit codes are part of the command line's contract.
"""


class QFError(Exception):
    """Base of all errors shown to a user; `code` is a stable word, `exit_code` the process's exit status."""

    code = "error"
    exit_code = 1


class LessonError(QFError):
    """The lesson is empty, too long, or what it would teach is degenerate."""

    code = "bad_lesson"
    exit_code = 3


class Contradiction(QFError):
    """A lesson says otherwise than a live one; nobody said whether to replace it."""

    code = "contradiction"
    exit_code = 20


class NotFound(QFError):
    """No version, lesson, chat or model has this name."""

    code = "not_found"
    exit_code = 4


class NameRefused(QFError):
    """A branch or tag cannot have this name, or cannot be deleted."""

    code = "bad_name"
    exit_code = 13


class ModelError(QFError):
    """The model file is missing, damaged, or cannot be used for what was asked."""

    code = "bad_model"
    exit_code = 5


class CannotTeach(ModelError):
    """The model can chat, but its graph has no place for lessons."""

    code = "cannot_teach"
    exit_code = 16


class HomeError(QFError):
    """The data folder cannot be read or written."""

    code = "bad_home"
    exit_code = 6


class StoreBusy(HomeError):
    """Another process owns the data folder, or the live version moved meanwhile."""

    code = "busy"
    exit_code = 7


class StoreUnfinished(HomeError):
    """A killed process left a change half done; the store must be opened for writing once, which undoes it."""


class StoreCorrupt(QFError):
    """Stored bytes differ from their hash."""

    code = "corrupt"
    exit_code = 8


class ExportError(QFError):
    """A file could not be exported."""

    code = "export_failed"
    exit_code = 9


class BundleError(QFError):
    """A bundle is damaged, of another form, or belongs to another base model."""

    code = "bad_bundle"
    exit_code = 14


class ChatFileError(QFError):
    """A file holds no conversation that can be imported."""

    code = "bad_conversation"
    exit_code = 15


class PortInUse(QFError):
    """The window's port is taken by another program."""

    code = "port_in_use"
    exit_code = 10


class RuntimeFailure(QFError):
    """The runtime that computes the model failed."""

    code = "runtime_failed"
    exit_code = 11


class TooLong(RuntimeFailure):
    """The conversation does not fit into the model's context."""

    code = "context_length_exceeded"


class ChatBusy(QFError):
    """The conversation is being answered; nothing was added to it."""

    code = "chat_busy"
    exit_code = 12


class Cancelled(QFError):
    """The user stopped the work; nothing was changed."""

    code = "cancelled"
    exit_code = 130
