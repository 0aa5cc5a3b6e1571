"""What the store hands out: frozen records, free of SQL."""

from collections.abc import Collection
from dataclasses import dataclass, field

from qfcore.lesson import Lesson, Phrasing
from qfcore.rows import Rows
from qfcore.store.hashing import entry_digest


@dataclass(frozen=True)
class ModelIdentity:
    """The base model a store belongs to; `sha256` is 64 hex digits over the file."""

    sha256: str
    name: str
    architecture: str
    bytes: int


@dataclass(frozen=True)
class PendingLesson:
    """A lesson that was observed but not committed."""

    lesson: Lesson
    rows: Rows
    recipe: str
    phrasings: tuple[Phrasing, ...] = ()
    evidence: dict = field(default_factory=dict)

    @property
    def entry(self) -> tuple[str, str]:
        """(lesson id, rows digest): the lesson's entry in a version."""
        return self.lesson.id, entry_digest(self.lesson.id, self.rows.to_bytes())


@dataclass(frozen=True)
class LessonRecord:
    """A lesson in the store; `number` counts from 1 in the order of first teaching."""

    number: int
    lesson: Lesson
    recipe: str
    rows_digest: str
    phrasings: tuple[Phrasing, ...]
    evidence: dict
    created_at: str

    @property
    def id(self) -> str:
        """The lesson's content hash."""
        return self.lesson.id


@dataclass(frozen=True)
class Version:
    """One entry of the history: which lessons the model knew from then on."""

    number: int
    hash: str
    content: str
    kind: str
    message: str
    parent: int | None
    created_at: str
    entries: tuple[tuple[str, str], ...]
    """(lesson id, rows digest), sorted."""
    solve: dict

    @property
    def lesson_ids(self) -> tuple[str, ...]:
        """Ids of the lessons this version knows, sorted."""
        return tuple(lesson_id for lesson_id, _ in self.entries)


def changes_of(versions: Collection[Version]) -> dict[int, tuple[tuple[str, ...], tuple[str, ...]]]:
    """For each version, by number, the ids of the lessons that it added and removed against its parent."""
    known = {version.number: set(version.lesson_ids) for version in versions}
    found = {}
    for version in versions:
        now, before = known[version.number], known.get(version.parent, set())
        found[version.number] = tuple(sorted(now - before)), tuple(sorted(before - now))
    return found


@dataclass(frozen=True)
class NamedVersion:
    """A branch or a tag; `current`: the branch that the next change belongs to."""

    name: str
    version: int
    kind: str
    current: bool


@dataclass(frozen=True)
class VersionDiff:
    """What version `new` knows against version `old`."""

    old: Version
    new: Version
    added: tuple[LessonRecord, ...]
    removed: tuple[LessonRecord, ...]
    observed_again: tuple[LessonRecord, ...]
    """In both, with other rows: the lesson was taught with another recipe."""


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` re-derived, and what did not match."""

    checked: dict[str, int]
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Whether everything matched."""
        return not self.problems


@dataclass(frozen=True)
class Chat:
    """A conversation."""

    id: int
    title: str
    created_at: str
    updated_at: str
    leaf: int | None
    settings: dict = field(default_factory=dict)
    """How it is answered, as the window keeps it; empty until it was said."""


@dataclass(frozen=True)
class Message:
    """One node of a conversation's tree; a retry or an edit is a sibling, nothing is lost."""

    id: int
    chat_id: int
    parent_id: int | None
    role: str
    content: str
    version: int | None
    stats: dict
    created_at: str
