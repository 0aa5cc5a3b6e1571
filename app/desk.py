"""What the window can do with knowledge: teach, check, forget, compare, export. No Gradio here."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app import words
from app.lessons_file import read_lessons
from app.studying import STOP_SECONDS, Study
from qfcore.bulk import Plan
from qfcore.compare import TwoAnswers
from qfcore.contradiction import KEEP
from qfcore.engine import Engine, Proposal
from qfcore.errors import LessonError, NotFound, StoreBusy
from qfcore.lesson import Lesson, check_lesson
from qfcore.recipe import recipe_named
from qfcore.runtime.protocol import Progress
from qfcore.settings import expanded
from qfcore.standing import FAILED, LEARNED, WEAK, Standing
from qfcore.store.records import LessonRecord, Version
from qfcore.teach import Preview

_PREVIEWS_KEPT = 8
_CANCELS_KEPT = 256
THOROUGH = "thorough"
TEACH, ASK, COMPARE = "teach", "ask", "compare"
"""Work that a tab can stop."""

LessonRow = tuple[LessonRecord, Standing, int]
"""A live lesson, how it stands, and the version that knew it first."""


@dataclass(frozen=True)
class Form:
    """What is to be taught, and how. A preview can be applied only while the form is the one it was made of."""

    lessons: tuple[Lesson, ...]
    method: str


@dataclass(frozen=True)
class Trial:
    """A preview under its number, the live lessons that it contradicts, and the ids of those that it replaces."""

    number: int
    made: Preview
    conflicts: tuple[LessonRecord, ...]
    replaces: tuple[str, ...]


class Desk:
    """The teacher's desk over one engine; browser tabs share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cancels: dict[tuple[str, str], threading.Event] = {}
        self._waiting: set[tuple[str, str]] = set()
        self._previews: dict[int, tuple[Preview, tuple[Form, frozenset[str]] | None]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.study: Study | None = None

    # -- teach --------------------------------------------------------------------------------------------------

    def split(self, text: str, tab: str, on_progress: Progress) -> list[Proposal]:
        """The facts of a text, each with what the model says about it today.

        Raises:
            LessonError: the text is empty or too long. Cancelled: `cancel` was called.
        """
        cancel = self._begin(tab, TEACH)
        on_progress(0.1, words.SPLITTING)
        lessons = [check_lesson(sentence) for sentence in self._engine.propose_lessons(text, cancel)]
        return self._engine.propose(lessons, lambda done, told: on_progress(0.4 + 0.6 * done, told), cancel)

    def preview(self, form: Form, ticked: Sequence[str], shown: Sequence[str], tab: str, on_progress: Progress) -> Trial:
        """Learn without making it live.

        ticked: ids of the lessons to replace, of those that were `shown` as contradicted. Where others are contradicted than
        were shown, all of them are replaced, and the person decides about these.

        Raises:
            LessonError: the live version learned just this already, or the model makes nothing of it.
        """
        self._refuse_the_same(form)
        cancel, recipe = self._begin(tab, TEACH), recipe_named(form.method)
        self._prepare(on_progress, cancel)
        conflicts = self._engine.contradictions(
            form.lessons, recipe=recipe, on_progress=lambda f, text: on_progress(0.5 * f, text), cancel=cancel
        )
        found = [record.id for record in conflicts]
        replaces = tuple(i for i in found if i in ticked or set(found) != set(shown))
        made = self._engine.preview(
            form.lessons, replaces=replaces, recipe=recipe, on_progress=lambda f, text: on_progress(0.5 + 0.5 * f, text),
            cancel=cancel,
        )  # fmt: skip
        return Trial(self._keep(made, (form, frozenset(replaces))), made, tuple(conflicts), replaces)

    def _refuse_the_same(self, form: Form) -> None:
        is_live = self._taught_by(form.method)
        if not all(is_live(lesson.id) for lesson in form.lessons):
            return
        thorough = "" if form.method == THOROUGH else words.OR_THOROUGH
        raise LessonError(words.SAME_AGAIN.format(thorough=thorough))

    def _taught_by(self, method: str) -> Callable[[str], bool]:
        """Whether the live version knows a lesson, by id, just as a method observes it."""
        store, key = self._engine.store, recipe_named(method).rows_key
        entries = dict(store.live().entries)

        def is_live(lesson_id: str) -> bool:
            known = store.known_rows(lesson_id, key)
            return known is not None and entries.get(lesson_id) == known.rows_digest

        return is_live

    def is_of_form(self, number: int | None) -> bool:
        """Whether a preview was made of the form, not of a file."""
        return number in self._previews and self._previews[number][1] is not None

    def apply(self, number: int | None, form: Callable[[], Form], ticked: Sequence[str]) -> tuple[Version, Preview]:
        """Make a preview live. form: gives the form as it is now; ticked: what is to be replaced now.

        Raises:
            NotFound: there is no such preview (any more). LessonError: the form changed since.
            StoreBusy: the live version moved meanwhile.
        """
        if number not in self._previews:
            raise NotFound(words.NO_PREVIEW)
        preview, made_of = self._previews[number]
        if made_of is not None and made_of != (form(), frozenset(ticked)):
            raise LessonError(words.STALE_REFUSED)
        try:
            version = self._engine.apply(preview)
        except StoreBusy as error:
            raise StoreBusy(f"{error} {words.PREVIEW_AGAIN if made_of else words.STUDY_AGAIN}") from error
        self._previews.pop(number, None)
        if self.study is not None and self.study.number == number:
            self.study = None
        return version, preview

    def cancel(self, tab: str, work: str) -> None:
        """Stop the work (TEACH, ASK, COMPARE) that this tab began; nothing was changed."""
        if (tab, work) in self._cancels:
            self._cancels[tab, work].set()

    def ready(self, tab: str, work: str) -> None:
        """Work is about to begin, and can be stopped from now on: a Stop pressed before its first step must count.

        Pressed twice, the second one joins what the first one can be stopped by.
        """
        with self._lock:
            self._ready(tab, work)

    def _ready(self, tab: str, work: str) -> None:
        before = self._cancels.pop((tab, work), None)
        fresh = before is None or before.is_set()
        self._cancels[tab, work] = threading.Event() if fresh else before
        while len(self._cancels) > _CANCELS_KEPT:
            self._cancels.pop(next(iter(self._cancels)))
        self._waiting.add((tab, work))

    def _begin(self, tab: str, work: str) -> threading.Event:
        with self._lock:
            if (tab, work) not in self._waiting or (tab, work) not in self._cancels:
                self._ready(tab, work)
            self._waiting.discard((tab, work))
            return self._cancels[tab, work]

    def _prepare(self, on_progress: Progress, cancel: threading.Event) -> None:
        self._engine.prepare(lambda fraction, text: on_progress(fraction, f"{words.PREPARING}: {text}"), cancel)

    def _keep(self, preview: Preview, made_of: tuple[Form, frozenset[str]] | None = None) -> int:
        number = next(self._numbers)
        self._previews[number] = preview, made_of
        of_forms = sorted(n for n, (_, form) in self._previews.items() if form is not None)
        of_files = sorted(self._previews.keys() - set(of_forms))  # of these only the last one is shown
        for old in (*of_forms[:-_PREVIEWS_KEPT], *of_files[:-1]):
            self._previews.pop(old, None)
        return number

    # -- files of lessons ---------------------------------------------------------------------------------------

    def read(self, path: Path) -> list[Lesson]:
        """The lessons of a file. An upload is deleted: what is erased later must not be left there.

        Raises:
            LessonError: names the line that is wrong.
        """
        try:
            return read_lessons(path)
        finally:
            if path.resolve().is_relative_to(self._engine.paths.temporary.resolve()):
                path.unlink(missing_ok=True)

    def plan(self, lessons: Sequence[Lesson], method: str) -> Plan:
        """What teaching these would do."""
        return self._engine.plan_many(lessons, recipe_named(method))

    def begin_study(self, lessons: Sequence[Lesson], method: str, on_conflict: str) -> Study:
        """Study many lessons one by one, keeping each, then preview them together; `self.study` until it is applied.

        on_conflict: of `qfcore.contradiction`.

        Raises:
            LessonError: there are no lessons. StoreBusy: a file is being studied already.
        """
        if not lessons:
            raise LessonError(words.STUDY_NOTHING)
        recipe = recipe_named(method)
        with self._lock:
            if self.study is not None and self.study.running:
                raise StoreBusy(words.STUDY_BUSY)
            self.study = study = Study(lessons, method)

        def work(tell: Progress, on_lesson: Callable, cancel: threading.Event) -> tuple:
            self._prepare(tell, cancel)
            return self._engine.teach_many(
                lessons, recipe=recipe, on_progress=tell, on_lesson=on_lesson, cancel=cancel, on_conflict=on_conflict
            )

        study.begin(work, self._keep)
        return study

    def not_stuck(self) -> list[Lesson]:
        """What the report card of the file in hand does not call learned, and the thorough method may mend."""
        study = self.study
        if study is None or study.preview is None or study.method == THOROUGH:
            return []
        statuses = study.preview.report.statuses
        return [p.lesson for p in study.preview.pending if statuses.get(p.lesson.id) != LEARNED]

    def apply_and_study_again(self) -> Version:
        """Make the file in hand live, and study thoroughly what did not stick; the version that is live now.

        Raises:
            NotFound: there is nothing to study again. StoreBusy: see `apply`.
        """
        lessons, study = self.not_stuck(), self.study
        if not lessons or study is None:
            raise NotFound(words.NOTHING_DOUBTFUL)
        version, _ = self.apply(study.number, lambda: Form((), study.method), ())
        self.begin_study(lessons, THOROUGH, KEEP)
        return version

    def doubtful(self, rows: Sequence[LessonRow] | None = None) -> list[Lesson]:
        """Live lessons that did not stick, and were not taught thoroughly. rows: all live lessons, when they are known."""
        is_thorough = self._taught_by(THOROUGH)
        return [
            record.lesson for record, standing, _ in (self.lessons() if rows is None else rows)
            if standing.status in (WEAK, FAILED) and not is_thorough(record.id)
        ]  # fmt: skip

    def study_doubtful(self) -> None:
        """Study thoroughly the live lessons that did not stick.

        Raises:
            NotFound: there are none. StoreBusy: a file is being studied.
        """
        lessons = self.doubtful()
        if not lessons:
            raise NotFound(words.NOTHING_DOUBTFUL)
        self.begin_study(lessons, THOROUGH, KEEP)

    def stop_study(self) -> None:
        """Stop the file that is being studied, whichever tab began it; what was studied is kept."""
        if self.study is not None:
            self.study.stop()

    def close(self) -> None:
        """Stop everything and wait for it, before the model is freed."""
        for cancel in list(self._cancels.values()):
            cancel.set()
        if self.study is not None:
            self.study.stop(wait=STOP_SECONDS)

    # -- lessons ------------------------------------------------------------------------------------------------

    def lessons(self, search: str = "") -> list[LessonRow]:
        """The live lessons that contain a text; newest first."""
        store = self._engine.store
        live = store.live()
        standings, first = self._engine.standings(live.number), store.first_versions()
        rows = [(record, standings[record.id], first[record.id]) for record in reversed(store.lessons(live))]
        return matching(rows, search)

    def lesson(self, reference: str) -> LessonRecord:
        """A lesson by number or id; NotFound when there is none."""
        return self._engine.store.lesson(reference)

    def check(self, reference: str) -> Standing:
        """Ask the live version about a lesson now; what it says is kept."""
        return self._engine.check(reference)

    def check_all(self, search: str, tab: str, on_progress: Progress) -> Iterator[Standing]:
        """Ask the live version about all lessons that contain a text, keeping what it says of each.

        Raises:
            Cancelled: `cancel` was called.
        """
        cancel, records = self._begin(tab, ASK), [record for record, _, _ in self.lessons(search)]
        yield from self._engine.check_many(records, on_progress, cancel)

    # -- versions and export ------------------------------------------------------------------------------------

    def compare_answers(self, old: int, new: int, tab: str, on_progress: Progress) -> tuple[TwoAnswers, ...]:
        """What two versions answer to what is worth asking; Cancelled when `cancel` was called."""
        return self._engine.compare_answers(old, new, on_progress=on_progress, cancel=self._begin(tab, COMPARE))

    def export_path(self, kind: str, version: Version) -> str:
        """Where a version is exported to unless the user says otherwise."""
        name = self._engine.store.model.name.split(" (")[0].replace(" ", "-").replace("/", "-")
        ending = {"adapter": "-adapter.gguf", "bundle": ".qfbundle", "gguf": ".gguf", "card": ".md"}.get(kind, f"-{kind}")
        middle = "" if kind == "bundle" else f"-v{version.number}"
        return str(self._engine.paths.exports / f"{name}{middle}{ending}")

    def export(
        self, kind: str, version: int, path: str, on_progress: Progress | None = None, *, overwrite: bool = False,
        with_lessons: bool = False, form: str = "plain", tensor_type: str = "auto", max_rank: int | None = None,
        strength: float = 1.0, cancel: threading.Event | None = None,
    ) -> dict:  # fmt: skip
        """Write a version, or all knowledge, as a file or folder. kind: one of words.FORMATS, or "card".

        with_lessons: list what was taught in the model card. form, tensor_type: of a GGUF of the whole model, see
        `qfcore.exports`. max_rank: cut a PEFT adapter of higher rank down to this. strength: see `qfcore.exports.Exports`.

        Raises:
            LessonError: no path. ExportError: see `qfcore.exports`.
        """
        if not path.strip():
            raise LessonError(words.NO_PATH)
        out = expanded(path)
        if not out.is_absolute():
            out = self._engine.paths.exports / out
        if out.parent == self._engine.paths.exports:
            out.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        exports = self._engine.exports
        ways: dict[str, Callable[[], dict]] = {
            "gguf": lambda: exports.gguf(
                out, version, strength=strength, tensor_type=tensor_type, form=form, overwrite=overwrite,
                on_progress=on_progress, cancel=cancel,
            ),
            "adapter": lambda: exports.adapter(out, version, strength=strength, overwrite=overwrite),
            "ollama": lambda: exports.ollama(
                out, version, strength=strength, tensor_type=tensor_type, form=form, with_lessons=with_lessons,
                on_progress=on_progress, cancel=cancel,
            ),
            "peft": lambda: exports.peft(
                out, version, strength=strength, with_lessons=with_lessons, max_rank=max_rank
            ),
            "transformers": lambda: exports.checkpoint(
                out, version, strength=strength, with_lessons=with_lessons, on_progress=on_progress
            ),
            "card": lambda: exports.card(
                out, version, with_lessons=with_lessons, overwrite=overwrite, strength=strength
            ),
            "bundle": lambda: exports.bundle(out, overwrite=overwrite),
        }  # fmt: skip
        return ways[kind]()

    def import_bundle(self, path: Path, on_progress: Progress | None = None) -> Version:
        """Take over a bundle's knowledge.

        Raises:
            BundleError: it is damaged, or made with another base.
        """
        return self._engine.import_bundle(self._engine.read_bundle(path), on_progress=on_progress)


def matching(rows: Sequence[LessonRow], search: str) -> list[LessonRow]:
    """The lessons that contain a text, in their own words or their question."""
    wanted = search.casefold().strip()
    return [
        row for row in rows
        if not wanted or any(wanted in text.casefold() for text in (row[0].lesson.text, row[0].lesson.question))
    ]
