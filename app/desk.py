"""What the window can do with knowledge: teach, check, forget, compare, export. No Gradio here."""

import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from app import words
from app.lessons_file import read_lessons
from qfcore.bulk import LessonState, Plan
from qfcore.compare import Comparison
from qfcore.engine import Engine, Proposal
from qfcore.errors import LessonError, NotFound
from qfcore.lesson import Lesson, check_lesson
from qfcore.recipe import recipe_named
from qfcore.runtime.protocol import Progress
from qfcore.standing import Standing
from qfcore.store.records import LessonRecord, Version
from qfcore.teach import Preview

_PREVIEWS_KEPT = 8


class Desk:
    """The teacher's desk over one engine; browser tabs share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cancels: dict[str, threading.Event] = {}
        self._previews: dict[int, Preview] = {}
        self._numbers = itertools.count(1)

    # -- teach --------------------------------------------------------------------------------------------------

    def split(self, text: str, tab: str, on_progress: Progress) -> list[Proposal]:
        """The facts of a text, each with what the model says about it today.

        Raises:
            LessonError: the text is empty or too long. Cancelled: `cancel` was called.
        """
        cancel = self._begin(tab)
        on_progress(0.1, words.SPLITTING)
        texts = self._engine.propose_lessons(text, cancel)
        found = []
        for number, sentence in enumerate(texts):
            on_progress(0.1 + 0.9 * number / len(texts), words.ASKING_TODAY.format(number=number + 1, of=len(texts)))
            found.append(self._engine.propose(check_lesson(sentence), cancel))
        return found

    def conflicts(self, text: str, question: str) -> list[LessonRecord]:
        """Live lessons that answer the same question otherwise."""
        return self._engine.teacher.conflicts(check_lesson(text, question), self._engine.store.live())

    def preview(
        self, lessons: Sequence[Lesson], method: str, tab: str, replaces: Sequence[str], on_progress: Progress
    ) -> tuple[int, Preview]:
        """Learn without making it live; a number that `apply` takes, and the preview."""
        cancel, recipe = self._begin(tab), recipe_named(method)
        self._prepare(on_progress, cancel)
        made = self._engine.preview(lessons, replaces=replaces, recipe=recipe, on_progress=on_progress, cancel=cancel)
        return self._keep(made), made

    def plan(self, path: Path, method: str) -> tuple[list[Lesson], Plan]:
        """The lessons of a file and what teaching them would do.

        Raises:
            LessonError: names the line that is wrong.
        """
        lessons = read_lessons(path)
        return lessons, self._engine.plan_many(lessons, recipe_named(method))

    def teach_many(
        self, lessons: Sequence[Lesson], method: str, tab: str, on_progress: Progress,
        on_lesson: Callable[[LessonState], None],
    ) -> tuple[int, Preview, list[LessonState]]:  # fmt: skip
        """Study many lessons one by one, keeping each, then preview them together."""
        cancel, recipe = self._begin(tab), recipe_named(method)
        self._prepare(on_progress, cancel)
        made, states = self._engine.teach_many(
            lessons, recipe=recipe, on_progress=on_progress, on_lesson=on_lesson, cancel=cancel
        )
        return self._keep(made), made, states

    def apply(self, number: int | None) -> Version:
        """Make a preview live.

        Raises:
            NotFound: there is no such preview (any more). StoreBusy: the live version moved meanwhile.
        """
        if number not in self._previews:
            raise NotFound("There is no preview to apply. Press Preview first.")
        version = self._engine.apply(self._previews[number])
        del self._previews[number]
        return version

    def cancel(self, tab: str) -> None:
        """Stop the work that this tab began; nothing was changed."""
        if tab in self._cancels:
            self._cancels[tab].set()

    def _begin(self, tab: str) -> threading.Event:
        self._cancels[tab] = threading.Event()
        return self._cancels[tab]

    def _prepare(self, on_progress: Progress, cancel: threading.Event) -> None:
        self._engine.prepare(lambda fraction, text: on_progress(fraction, f"{words.PREPARING}: {text}"), cancel)

    def _keep(self, preview: Preview) -> int:
        number = next(self._numbers)
        self._previews[number] = preview
        for old in sorted(self._previews)[:-_PREVIEWS_KEPT]:
            del self._previews[old]
        return number

    # -- lessons ------------------------------------------------------------------------------------------------

    def lessons(self, search: str = "") -> list[tuple[LessonRecord, Standing, int]]:
        """The live lessons that contain a text, each with its standing and the version that knew it first; newest first."""
        store = self._engine.store
        standings, first = self._engine.standings(), store.first_versions()
        wanted = search.casefold().strip()
        return [
            (record, standings[record.id], first[record.id])
            for record in reversed(store.lessons(store.live()))
            if not wanted or any(wanted in t.casefold() for t in (record.lesson.text, record.lesson.question))
        ]

    def lesson(self, reference: str) -> LessonRecord:
        """A lesson by number or id; NotFound when there is none."""
        return self._engine.store.lesson(reference)

    def check(self, reference: str) -> Standing:
        """Ask the live version about a lesson now."""
        return self._engine.check(reference)

    # -- versions and export ------------------------------------------------------------------------------------

    def compare(self, old: int, new: int, questions: Sequence[str] | None, on_progress: Progress) -> Comparison:
        """Two versions against each other; questions: () asks nothing, None asks what is worth asking."""
        return self._engine.compare(old, new, questions=questions, on_progress=on_progress)

    def export_path(self, kind: str, version: Version) -> str:
        """Where a version is exported to unless the user says otherwise."""
        name = self._engine.store.model.name.split(" (")[0].replace(" ", "-")
        ending = {"adapter": "-adapter.gguf", "bundle": ".qfbundle", "gguf": ".gguf", "card": ".md"}.get(kind, f"-{kind}")
        middle = "" if kind == "bundle" else f"-v{version.number}"
        return str(self._engine.paths.exports / f"{name}{middle}{ending}")

    def export(
        self, kind: str, version: int, path: str, on_progress: Progress | None = None, *, overwrite: bool = False,
        with_lessons: bool = False, cancel: threading.Event | None = None,
    ) -> dict:  # fmt: skip
        """Write a version, or all knowledge, as a file or folder. kind: one of words.FORMATS, or "card".

        with_lessons: list what was taught in the model card.

        Raises:
            LessonError: no path. ExportError: see `qfcore.exports`.
        """
        if not path.strip():
            raise LessonError("There is no file name. Write where the file should go.")
        out = Path(path.strip()).expanduser()
        if not out.is_absolute():
            out = self._engine.paths.exports / out
        if out.parent == self._engine.paths.exports:
            out.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        exports = self._engine.exports
        ways: dict[str, Callable[[], dict]] = {
            "gguf": lambda: exports.gguf(out, version, overwrite=overwrite, on_progress=on_progress, cancel=cancel),
            "adapter": lambda: exports.adapter(out, version, overwrite=overwrite),
            "ollama": lambda: exports.ollama(
                out, version, with_lessons=with_lessons, on_progress=on_progress, cancel=cancel
            ),
            "peft": lambda: exports.peft(out, version, with_lessons=with_lessons),
            "transformers": lambda: exports.checkpoint(out, version, with_lessons=with_lessons, on_progress=on_progress),
            "card": lambda: exports.card(out, version, with_lessons=with_lessons, overwrite=overwrite),
            "bundle": lambda: exports.bundle(out, overwrite=overwrite),
        }
        return ways[kind]()

    def import_bundle(self, path: Path) -> Version:
        """Take over a bundle's knowledge.

        Raises:
            BundleError: it is damaged, or made with another base.
        """
        return self._engine.import_bundle(self._engine.read_bundle(path))
