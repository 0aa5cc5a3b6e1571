"""The engine as the window and the command line use it: one model, its knowledge, one runtime."""

import contextlib
import functools
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import psutil

from qfcore.bulk import LessonState, Plan, observe_many, plan_many, settle, without_broken
from qfcore.checking import check_lessons, parts_of
from qfcore.compare import Comparison, TwoAnswers, WeightsDiff, ask_both, weights_diff
from qfcore.contradiction import KEEP
from qfcore.errors import (
    Cancelled,
    CannotTeach,
    HomeError,
    LessonError,
    ModelError,
    NotFound,
    QFError,
    StoreBusy,
    StoreUnfinished,
)
from qfcore.evaluate import Report, ask_routed
from qfcore.examine import load_probes
from qfcore.export.atomic import remove_partials
from qfcore.exports import Exports
from qfcore.fitting import check_fit, check_layer
from qfcore.knowledge import BESIDE, Knowledge
from qfcore.lesson import Lesson, check_lesson
from qfcore.margin import Head
from qfcore.models.library import Found, Library, check_name
from qfcore.observe import student_messages
from qfcore.opening import Facts, base_norm, check_room, facts_of, identity_of, open_head, open_runtime
from qfcore.propose import propose_lessons, propose_questions
from qfcore.recipe import RIDGE, Recipe, recipe_named
from qfcore.replay import Replay, find_replay, heal_replays, load_or_make_replay, replay_problems
from qfcore.runtime.protocol import GREEDY, AnswerStats, Message, Progress, Runtime, Sampling, Thought
from qfcore.runtime.thoughts import without_thoughts
from qfcore.runtime.trial import try_model
from qfcore.settings import Paths
from qfcore.standing import Point, Standing, curve_of, standings
from qfcore.store.backup import KEPT, Backup, backups_of
from qfcore.store.bundle import Bundle, read_bundle
from qfcore.store.records import LessonRecord, ModelIdentity, VerifyReport, Version
from qfcore.store.store import Store
from qfcore.teach import Preview, Teacher, check_together

log = logging.getLogger(__name__)

_TODAY_TOKENS = 48
"""Longest answer of a proposal."""


@dataclass(frozen=True)
class Origin:
    """Who taught a lesson and when: the record, and the version that knew it first."""

    record: LessonRecord
    version: Version


@dataclass(frozen=True)
class Proposal:
    """What a lesson would teach, before any weight is computed."""

    lesson: Lesson
    says_today: str
    conflicts: tuple[LessonRecord, ...]


@dataclass(frozen=True)
class Taught:
    """The version that knows a lesson, and the report card."""

    version: Version
    report: Report

    @property
    def learned(self) -> bool:
        """Whether it answers as it was taught."""
        return self.report.learned


class Engine:
    """Chat, teach, forget, restore, export. Every method may be called from any thread; close it at the end."""

    def __init__(self, paths: Paths, runtime: Runtime, store: Store) -> None:
        self.paths, self.runtime, self.store = paths, runtime, store
        self._replay: dict[int, Replay] = {}
        self._replay_lock = threading.Lock()
        self._change_lock = threading.Lock()
        self._preview_lock = threading.Lock()  # another one: who undoes or forgets need not wait for a preview
        self._progress: Progress | None = None
        self._cancel: threading.Event | None = None
        self.recipe: Recipe = RIDGE
        self.knowledge = Knowledge(
            store, runtime.facts.architecture, self.replay, self._replay_of, functools.cache(self._base_norm)
        )
        self.teacher = Teacher(runtime, store, self.knowledge, self.head)
        self.exports = Exports(runtime, store, self.knowledge, self.head, self.measured)

    @classmethod
    def open(
        cls, *, home: str | Path | None = None, model: str | None = None, read_only: bool = False,
        on_progress: Progress | None = None,
    ) -> "Engine":  # fmt: skip
        """Find or assemble the model, load it, and open its knowledge.

        Raises:
            NotFound, ModelError, RuntimeFailure, HomeError, StoreBusy, StoreCorrupt: see their docstrings.
        """
        paths, found, facts, identity = _locate(home, model, on_progress)
        path = found.path
        check_room(path, facts, on_progress)
        store = _open_store(paths, identity, read_only)
        try:
            if not store.read_only:
                for folder in (store.folder, store.folder / "adapters", store.folder / "backups", paths.exports):
                    remove_partials(folder)
                paths.empty_temporary()
                shutil.rmtree(store.folder / "adapters" / BESIDE, ignore_errors=True)  # of messages, which are not kept
            if not found.trusted and not path.is_dir():  # safetensors hold no code, and their parser is no C++
                try_model(path, identity.sha256, paths.models / "tried.json", on_progress)
            runtime = open_runtime(path, on_progress)
        except BaseException:
            store.close()
            raise
        return cls(paths, runtime, store)

    def status(self) -> dict:
        """The model, what it knows and what it uses; memory in bytes."""
        live = self.store.live()
        return {
            "model": self.store.model.name,
            "sha256": self.store.model.sha256,
            "architecture": self.store.model.architecture,
            "version": live.number,
            "lessons": len(live.entries),
            "context_size": self.runtime.facts.context_size,
            "thinks": self.runtime.facts.thinks,
            "memory_bytes": psutil.Process().memory_info().rss,
            "home": str(self.paths.home),
        }

    def replay(self) -> Replay:
        """Keys of ordinary chats at the edited layer; made once per model and layer (some minutes), then read."""
        layer = self.recipe.layer_of(self.runtime.facts.n_layer)
        with self._replay_lock:
            if layer not in self._replay:
                self._replay[layer] = load_or_make_replay(
                    self.runtime, self.store.folder, self._shared_replays, layer, known=self.store.needed_replays(),
                    on_progress=self._progress, cancel=self._cancel,
                )  # fmt: skip
            return self._replay[layer]

    def _replay_of(self, digest: str) -> Replay:
        """The replay that a version names, whatever new lessons are solved with today."""
        with self._replay_lock:
            for replay in self._replay.values():
                if replay.digest == digest:
                    return replay
        return find_replay(digest, self.store.folder, self._shared_replays)

    def _base_norm(self, layer: int) -> float | None:
        try:
            return base_norm(self.runtime, layer)
        except ModelError as error:  # it was loaded, so only its size stays unknown
            log.info("%s", error)
            return None

    @property
    def _shared_replays(self) -> Path:
        return self.paths.models / "replay" / self.store.model.sha256[:16]

    @property
    def measured(self) -> Path:
        """Where it is kept what exports with reach need to know of the base, for all stores of this machine."""
        return self.paths.models / "reach" / self.store.model.sha256[:16]

    def head(self) -> Head | None:
        """The model's last step; None for models that end otherwise, which learn the teacher's residuals."""
        return self._head

    @cached_property
    def _head(self) -> Head | None:
        try:
            return open_head(self.runtime)
        except ModelError as error:
            log.info("%s", error)
            return None

    @cached_property
    def cannot_teach(self) -> str | None:
        """Why this model chats but cannot be taught; None for one that can."""
        try:
            self.runtime.check_teachable(self.recipe.layer_of(self.runtime.facts.n_layer))
        except CannotTeach as error:
            return str(error)
        return None

    def prepare(self, on_progress: Progress | None = None, cancel: threading.Event | None = None) -> None:
        """Do now what the first lesson would wait for."""
        with self._telling(on_progress, cancel):
            heal_replays(self.store.needed_replays(), self.store.folder, self._shared_replays)
            if self.recipe.method == "ridge":
                self.replay()

    @contextlib.contextmanager
    def _telling(self, on_progress: Progress | None, cancel: threading.Event | None) -> Iterator[None]:
        """Let the replay, should it have to be made, tell its progress and be stopped."""
        self._progress, self._cancel = on_progress, cancel
        try:
            yield
        finally:
            self._progress = self._cancel = None

    # -- chat ---------------------------------------------------------------------------------------------------

    def stream(
        self, messages: Sequence[Message] | str, *, sampling: Sampling | None = None, version: str | int | None = None,
        stop: threading.Event | None = None, think: bool = False,
    ) -> Iterator[str | Thought | AnswerStats]:  # fmt: skip
        """Pieces of the answer, then AnswerStats with the version that answered and its lessons that were active.

        messages: a conversation, or a plain text that goes on where it ends. The model does not read its earlier thoughts.
        think: let the model think before it answers; its thoughts come first.

        Raises:
            NotFound: there is no such version. TooLong: the conversation does not fit into the context.
            LessonError: the model cannot think.
        """
        if think and not self.runtime.facts.thinks:
            raise LessonError(
                "This model does not think before it answers: its chat template has no place for thoughts. "
                "Ask without thinking, or choose a reasoning model such as Qwen 3 or SmolLM 3."
            )
        if not isinstance(messages, str):
            messages = without_thoughts(messages)
        chosen = self._version(version)
        routing = self.teacher.routing(chosen)
        active = routing.of_text(messages) if isinstance(messages, str) else routing.of(messages)
        lessons = self._numbers(active.lesson_ids)
        pieces = self.runtime.stream(
            messages, sampling or Sampling(), adapter=active.adapter, stop=stop or threading.Event(), think=think
        )
        for piece in pieces:
            yield replace(piece, version=chosen.number, lessons=lessons) if isinstance(piece, AnswerStats) else piece

    def ask(
        self, question: str, *, version: str | int | None = None, max_tokens: int = 256, think: bool = False,
        on_thought: Callable[[str], None] | None = None,
    ) -> str:  # fmt: skip
        """Greedy answer in a fresh conversation.

        think: let the model think first. on_thought: gets its thoughts as they come.

        Raises:
            LessonError: the question is empty, or the model cannot think. NotFound: there is no such version.
        """
        if not question.strip():
            raise LessonError("The question is empty. Write what you want to ask.")
        sampling = replace(GREEDY, max_tokens=max_tokens)
        said = []
        for piece in self.stream(student_messages(question), sampling=sampling, version=version, think=think):
            if isinstance(piece, str):
                said.append(piece)
            elif on_thought and isinstance(piece, Thought):
                on_thought(piece.text)
        return "".join(said)

    def active_lessons(self, question: str, *, version: str | int | None = None) -> tuple[int, ...]:
        """Numbers of the lessons that are active when a question is asked in a fresh conversation.

        Raises:
            NotFound: there is no such version.
        """
        return self._numbers(self.teacher.routing(self._version(version)).in_scope(question))

    def why(self, question: str, *, version: str | int | None = None) -> list[Origin]:
        """Which lessons shape the answer to a question in a fresh conversation, who taught them and when.

        Raises:
            NotFound: there is no such version.
        """
        active = self.teacher.routing(self._version(version)).in_scope(question)
        found = [Origin(self.store.lesson(lesson_id), self.store.taught_in(lesson_id)) for lesson_id in active]
        return sorted(found, key=lambda origin: origin.record.number)

    def compare(
        self, old: str | int, new: str | int, *, questions: Sequence[str] | None = None,
        on_progress: Progress | None = None, cancel: threading.Event | None = None,
    ) -> Comparison:  # fmt: skip
        """Two versions against each other. questions: None asks those of the lessons that differ and the probes.

        Raises:
            NotFound: one of the versions does not exist. Cancelled: `cancel` was set.
        """
        lessons = self.store.diff(old, new)
        asked = questions is None or bool(questions)
        answers: tuple[TwoAnswers, ...] = ()
        if asked:
            answers = self.compare_answers(old, new, questions=questions, on_progress=on_progress, cancel=cancel)
        return Comparison(lessons, self.compare_weights(old, new), answers)

    def compare_weights(self, old: str | int, new: str | int) -> WeightsDiff:
        """How the weights of two versions differ, all lessons active: a solve for each, unless it is kept.

        Raises:
            NotFound: one of the versions does not exist.
        """
        before, after = (self.knowledge.delta(self.store.version(reference)) for reference in (old, new))
        return weights_diff(before, after, self.runtime.facts.n_layer)

    def compare_answers(
        self, old: str | int, new: str | int, *, questions: Sequence[str] | None = None,
        on_progress: Progress | None = None, cancel: threading.Event | None = None,
    ) -> tuple[TwoAnswers, ...]:  # fmt: skip
        """What two versions answer. questions: None asks those of the lessons that differ and the probes.

        Raises:
            NotFound: one of the versions does not exist. Cancelled: `cancel` was set.
        """
        lessons = self.store.diff(old, new)
        if questions is None:
            changed = (*lessons.added, *lessons.removed, *lessons.observed_again)
            questions = [*(r.phrasings[0].question for r in changed if r.phrasings), *load_probes()]
        before, after = (self.teacher.routing(version).adapter for version in (lessons.old, lessons.new))
        return ask_both(self.runtime, questions, before, after, on_progress, cancel)

    def standings(self, version: str | int | None = None) -> dict[str, Standing]:
        """How a version's lessons stand by the newest answers on the way to it, by lesson id.

        Raises:
            NotFound: there is no such version.
        """
        chosen = self._version(version)
        way = set(self.store.lineage(chosen))
        return standings(chosen.lesson_ids, [report for report in self.store.reports() if report[0] in way])

    def curve(self) -> list[Point]:
        """The learning curve: how many of each version's lessons were learned, oldest first."""
        versions = [(v.number, v.parent, v.lesson_ids) for v in reversed(self.store.versions())]
        return curve_of(versions, dict(self.store.reports()))

    def check(
        self, reference: str, on_progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> Standing:
        """Ask the live version about one of its lessons, in all phrasings, now; what it says is kept as evidence.

        Raises:
            NotFound: the live version knows no such lesson. Cancelled: `cancel` was set.
        """
        record, live = self._live_lesson(reference)
        return check_lessons(self.runtime, self.store, self.teacher, live, [record], on_progress, cancel)[0]

    def check_many(
        self, records: Sequence[LessonRecord], on_progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> Iterator[Standing]:
        """As `check`, for many lessons, some of which are asked about together; what they said until a stop is kept.

        Those that are not live, or not any more when their turn comes, are left out.

        Raises:
            Cancelled: `cancel` was set.
        """
        tell, done, of = on_progress or (lambda *_: None), 0, len(records)
        for part in parts_of(records):
            which = f"lessons {done + 1} to {done + len(part)}" if len(part) > 1 else f"lesson {done + 1}"

            def told(fraction: float, _text: str, begin: int = done, size: int = len(part), which: str = which) -> None:
                tell((begin + fraction * size) / of, f"Asking about {which} of {of}")

            told(0.0, "")
            live = self.store.live()
            known = [record for record in part if record.id in live.lesson_ids]
            yield from check_lessons(self.runtime, self.store, self.teacher, live, known, told, cancel)
            done += len(part)

    def _numbers(self, lesson_ids: Sequence[str]) -> tuple[int, ...]:
        return tuple(sorted(self.store.lesson(lesson_id).number for lesson_id in lesson_ids))

    # -- teach --------------------------------------------------------------------------------------------------

    def propose_lessons(self, text: str, cancel: threading.Event | None = None) -> tuple[str, ...]:
        """The facts of a text as sentences that stand alone, for a person to choose from.

        Raises:
            LessonError: the text is empty or too long.
        """
        return propose_lessons(self.runtime, check_lesson(text).text, cancel)

    def propose(
        self, lessons: Sequence[Lesson], on_progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> list[Proposal]:
        """Let the model fill in the questions, answer them as it does today, and say which lessons they would contradict.

        The lessons are asked about together: reading and computing one of them costs nearly as much as seven.
        """
        tell, live = on_progress or (lambda *_: None), self.store.live()
        tell(0.0, "Writing questions")
        questions = propose_questions(self.runtime, lessons, cancel)
        tell(0.5, "Asking what the model says today")
        route = self.teacher.routing(live).adapter
        said = ask_routed(self.runtime, questions, route, max_tokens=_TODAY_TOKENS, cancel=cancel)
        known = self.store.lessons(live)
        full = [replace(lesson, question=question) for lesson, question in zip(lessons, questions, strict=True)]
        return [
            Proposal(lesson, today, tuple(self.teacher.conflicts(lesson, known)))
            for lesson, today in zip(full, said, strict=True)
        ]

    def contradictions(
        self, lessons: Sequence[Lesson], *, recipe: Recipe | None = None, on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> list[LessonRecord]:  # fmt: skip
        """Live lessons that say otherwise than these, by the questions that these are taught with.

        The lessons are studied for it; a preview of them goes on from there.

        Raises:
            LessonError: the model makes nothing of a lesson. Cancelled: `cancel` was set.
        """
        recipe, tell = recipe or self.recipe, on_progress or (lambda *_: None)
        found: dict[str, LessonRecord] = {}
        live = self.store.lessons(self.store.live())
        with self._telling(on_progress, cancel):
            for done, lesson in enumerate(lessons):
                pending = self.teacher.observe(
                    lesson, recipe, lambda f, text, done=done: tell((done + f) / len(lessons), text), cancel
                )
                found |= {r.id: r for r in self.teacher.conflicts(lesson, live, pending.phrasings)}
        return [record for record in found.values() if record.id not in {lesson.id for lesson in lessons}]

    def preview(
        self, lessons: Sequence[Lesson], *, replaces: Sequence[str] = (), recipe: Recipe | None = None,
        on_progress: Progress | None = None, cancel: threading.Event | None = None,
    ) -> Preview:  # fmt: skip
        """Learn and report; the live version is untouched.

        Raises:
            LessonError: nothing to learn, or the live lessons were taught by another method or at another layer.
            NotFound: the live version does not know a lesson to replace. Cancelled: `cancel` was set.
        """
        if not lessons:
            raise LessonError("There is no lesson to teach. Write a fact or instruction.")
        gone = [self._live_lesson(reference)[0] for reference in replaces]
        recipe = recipe or self.recipe
        with self._preview_lock, self._telling(on_progress, cancel):
            return self.teacher.preview(lessons, recipe, replaces=gone, on_progress=on_progress, cancel=cancel)

    def plan_many(self, lessons: Sequence[Lesson], recipe: Recipe | None = None) -> Plan:
        """What `teach_many` would do; nothing is computed or changed."""
        return plan_many(self.teacher, self.store, lessons, recipe or self.recipe)

    def teach_many(
        self, lessons: Sequence[Lesson], *, recipe: Recipe | None = None, on_progress: Progress | None = None,
        on_lesson: Callable[[LessonState], None] | None = None, cancel: threading.Event | None = None,
        on_conflict: str = KEEP, force: bool = False,
    ) -> tuple[Preview, list[LessonState]]:  # fmt: skip
        """Observe lessons one by one, keeping each, then preview them together; stopped work goes on next time.

        The report card asks the first question of each lesson. Refused lessons are left out, and so are those with which
        the model repeats itself, unless `force`.
        on_conflict: of `qfcore.contradiction`, what to do with lessons that say otherwise than live ones.

        Raises:
            LessonError: there are none, none can be taught, or the live ones were taught by another method.
            Cancelled: `cancel` was set; the live version is untouched.
            Contradiction: `on_conflict` is "ask", and a lesson contradicts a live one.
        """
        if not lessons:
            raise LessonError("There is no lesson to teach. Write a fact or instruction.")
        recipe, tell = recipe or self.recipe, on_progress or (lambda *_: None)
        unique = list({lesson.id: lesson for lesson in lessons}.values())
        with self._telling(on_progress, cancel):  # nothing live changes yet, so others may change it meanwhile
            live, new = self.store.live(), {lesson.id for lesson in unique}
            check_together(live, [entry for entry in live.entries if entry[0] not in new], recipe)  # before hours of study
            states = observe_many(
                self.teacher, self.store, unique, recipe, on_progress=lambda f, text: tell(0.7 * f, text),
                on_lesson=on_lesson, cancel=cancel,
            )  # fmt: skip
        with self._preview_lock, self._telling(on_progress, cancel):
            states, replaced = settle(self.teacher, self.store, states, recipe, on_conflict)
            while True:
                good = [state.lesson for state in states if not state.refused]
                if not good:
                    refused = next(state for state in states if state.refused)
                    raise LessonError(f"None of the {len(unique)} lessons can be taught. The first: {refused.detail}")
                preview = self.teacher.preview(
                    good, recipe, replaces=replaced, asked=1, cancel=cancel,
                    on_progress=lambda f, text: tell(0.7 + 0.3 * f, text),
                )  # fmt: skip
                if force or not preview.report.broken:
                    return preview, states
                states = without_broken(states, preview.report)

    def teach(
        self, text: str, question: str = "", answer: str = "", *, method: str = "thorough", replaces: Sequence[str] = (),
        on_progress: Progress | None = None, cancel: threading.Event | None = None, force: bool = False,
    ) -> Taught:  # fmt: skip
        """Preview and apply one lesson.

        question, answer: the model fills in what is empty. method: of `qfcore.recipe`. replaces: lessons that go. force: see
        `apply`.

        Raises:
            LessonError, NotFound, Cancelled, StoreBusy: see `preview` and `apply`; nothing was changed.
        """
        lesson, recipe = check_lesson(text, question, answer), recipe_named(method)
        preview = self.preview([lesson], replaces=replaces, recipe=recipe, on_progress=on_progress, cancel=cancel)
        return Taught(self.apply(preview, force=force), preview.report)

    def apply(self, preview: Preview, message: str | None = None, *, force: bool = False) -> Version:
        """Commit a preview: one transaction; the next answer has it.

        force: also where the model repeats itself with it.

        Raises:
            StoreBusy: the live version moved since the preview. LessonError: with it the model repeats itself. Nothing was
                changed.
        """
        if preview.report.loops and not force:
            raise LessonError(f"{preview.report.loops[0].text} Nothing was changed.")
        with self._change_lock:
            return self.store.commit(
                keep=preview.keep, new=preview.pending, solve=preview.solve,
                kind="replace" if preview.replaced else "teach",
                message=message or _message(preview), expect_live=preview.based_on, report=preview.report.to_dict(),
            )  # fmt: skip

    def forget(self, reference: str) -> Version:
        """A version without one lesson, exactly as if it had never been taught.

        Raises:
            NotFound: the live version knows no such lesson.
        """
        with self._change_lock:
            record, live = self._live_lesson(reference)
            keep = tuple(entry for entry in live.entries if entry[0] != record.id)
            return self.store.commit(
                keep=keep, solve=live.solve if keep else {}, kind="forget",
                message=f"Forgot: {record.lesson.text}", expect_live=live.number,
            )  # fmt: skip

    def erase(self, reference: str) -> int:
        """Take a lesson out of the whole history and off the disk; the number of versions that knew it.

        Backups in the home that know it are deleted, and a new one takes their place.

        Raises:
            NotFound: there is no such lesson. HomeError: it is erased, but a copy could not be deleted or made anew.
        """
        with self._change_lock:
            copies = len(backups_of(self.store.folder))
            try:
                knew = self.store.erase(reference)
            finally:
                self.paths.empty_uploads()  # files with lessons
            if len(backups_of(self.store.folder)) < copies:
                self._back_up_again()
            return knew

    def _back_up_again(self) -> None:
        try:
            self.backup()
        except QFError as error:
            raise HomeError(
                f"The lesson is erased, and the backups that knew it are deleted. A new backup could not be made: {error} "
                "Make one with `qfchat backup`."
            ) from error

    def backup(self, out: Path | None = None, kept: int = KEPT) -> Backup:
        """A copy of all knowledge and conversations, read back and verified. out: None keeps the last `kept` in the home.

        Raises:
            ExportError: it cannot be written. StoreCorrupt: it would not verify; nothing was written.
        """
        return self.store.back_up(self._shared_replays, out, kept)

    @staticmethod
    def identity_of(*, home: str | Path | None = None, model: str | None = None) -> ModelIdentity:
        """Which model a name stands for, without loading it; raises as `open` does where the file is looked at."""
        return _locate(home, model, None)[3]

    @staticmethod
    def restore_backup(
        *, home: str | Path | None = None, model: str | None = None, backup: Path | None = None,
        on_progress: Progress | None = None,
    ) -> tuple[Path, Version]:  # fmt: skip
        """Put a backup in the place of a store, which need not open; the backup, and the version that is live now.

        Raises:
            NotFound: there is none. StoreBusy: another program has the store open. ExportError: the disk is full.
            StoreCorrupt: the backup is damaged, or of another model.
        """
        paths, _, _, identity = _locate(home, model, on_progress)
        chosen = Store.restore_backup(paths.stores, identity, backup)
        with contextlib.closing(Store.open(paths.stores, identity)) as store:
            return chosen, store.live()

    def restore(self, reference: str | int) -> Version:
        """A new version that knows exactly what an earlier one knew.

        Raises:
            NotFound: there is no such version.
        """
        with self._change_lock:
            return self.store.restore(reference)

    def undo(self, expect_live: int | None = None) -> Version:
        """Go back to what was known before the live version. expect_live: the version that is to be undone.

        Raises:
            NotFound: the live version is the first one. StoreBusy: another version is live; nothing was changed.
        """
        with self._change_lock:
            live = self.store.live()
            if expect_live is not None and live.number != expect_live:
                raise StoreBusy(
                    f"Version {expect_live} is not live any more: version {live.number} is. Nothing was undone; choose in "
                    "Versions what to go back to."
                )
            if live.parent is None:
                raise NotFound("There is nothing to undo: the base model is live and knows no lessons.")
            return self.store.restore(live.parent, f"Undid version {live.number}: {live.message}", kind="undo")

    # -- bundles ------------------------------------------------------------------------------------------------

    def read_bundle(self, path: Path) -> Bundle:
        """Read and check a bundle.

        Raises:
            BundleError: it is damaged or no bundle.
        """
        return read_bundle(path)

    def reobserve_bundle(
        self, path: Path, *, recipe: Recipe | None = None, on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> tuple[Version, Preview, list[LessonState]]:  # fmt: skip
        """Teach the live lessons of a bundle anew, whatever model it was made with.

        Raises:
            BundleError: it is damaged. LessonError, Cancelled: see `teach_many`; the live version is untouched.
        """
        lessons = [pending.lesson for pending in self.read_bundle(path).live_lessons]
        preview, states = self.teach_many(lessons, recipe=recipe, on_progress=on_progress, cancel=cancel)
        return self.apply(preview, f"Imported {_lessons(len(preview.pending))} from a bundle, studied anew"), preview, states

    def import_bundle(
        self, bundle: Bundle, *, on_progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> Version:
        """Take over a bundle made with this base: its whole history where nothing was taught yet.

        A home that has knowledge gets its live lessons, as one new version, and keeps its own history, names and dates.

        Raises:
            BundleError: it was made with another base, or its lessons were taught at another layer than the live ones
                (they can be taught anew with `teach_many`).
            LessonError: the live lessons were taught with another method, or a lesson of the bundle cannot be solved.
            Cancelled: `cancel` was set. The live version is untouched by all of these.
        """
        self.store.check_base(bundle)
        check_fit(bundle, self.runtime.facts, (self.store.folder, self._shared_replays))
        with self._change_lock:
            if self.store.is_fresh:
                self._replay.clear()
                return self.store.adopt(bundle)
            live = self.store.live()
            new = [replace(p, lesson=replace(p.lesson, source="bundle")) for p in bundle.live_lessons]
            gone = {pending.lesson.id for pending in new}
            keep = [entry for entry in live.entries if entry[0] not in gone]
            check_together(live, keep, self.recipe)
            check_layer(new, self.recipe.layer_of(self.runtime.facts.n_layer))
            solve = self.knowledge.solve_settings(self.recipe) if new else live.solve
            for index, pending in enumerate(new):  # what cannot be solved must not become live
                if cancel is not None and cancel.is_set():
                    raise Cancelled("Stopped. Nothing was imported.")
                if on_progress:
                    on_progress(index / len(new), f"Solving lesson {index + 1} of {len(new)}")
                self.knowledge.solve([(pending.lesson.id, pending.rows)], solve)
            return self.store.commit(
                keep=keep, new=new, solve=solve, kind="import",
                message=f"Imported {_lessons(len(new))} from a bundle", expect_live=live.number,
            )  # fmt: skip

    def verify(self) -> VerifyReport:
        """Re-derive every hash of the store, the cached adapters' and the base file's. Damaged caches are deleted."""
        report = self.store.verify()
        path = self.runtime.facts.path
        checked, problems = dict(report.checked), list(report.problems)
        needed = self.store.needed_replays()
        checked["replays"] = len(needed)
        problems += replay_problems(needed, self.store.folder, self._shared_replays)
        checked["adapters"], damaged = self.knowledge.check_files()
        problems += damaged
        checked["model"] = 1
        cache = self.paths.temporary / "verify.json"
        cache.unlink(missing_ok=True)
        if identity_of(path, cache) != self.store.model.sha256:
            problems.append(f"model: {path} changed since this store was made")
        return VerifyReport(checked, problems)

    def close(self) -> None:
        """Free the model and the store."""
        self.runtime.close()
        self.store.close()

    def _live_lesson(self, reference: str) -> tuple[LessonRecord, Version]:
        """A lesson of the live version, and that version; NotFound when it knows no such lesson."""
        record, live = self.store.lesson(reference), self.store.live()
        if record.id not in live.lesson_ids:
            raise NotFound(f"Version {live.number}, which is live, does not know lesson {record.number}.")
        return record, live

    def _version(self, reference: str | int | None) -> Version:
        return self.store.live() if reference is None else self.store.version(reference)


def _locate(
    home: str | Path | None, model: str | None, on_progress: Progress | None
) -> tuple[Paths, Found, Facts, ModelIdentity]:
    """The home and the model file, checked but not loaded."""
    paths = Paths.find(home)
    if model is not None:  # a wrong name is said before folders are made
        check_name(model)
    paths.prepare()
    found = Library(paths.models).find(model, on_progress)
    facts = facts_of(found.path)
    digest = identity_of(found.path, paths.models / "sha256.json", on_progress)
    return paths, found, facts, ModelIdentity(digest, found.title, facts.architecture, facts.file_bytes)


def _open_store(paths: Paths, identity: ModelIdentity, read_only: bool) -> Store:
    if not read_only:
        return Store.open(paths.stores, identity)
    try:
        return Store.open(paths.stores, identity, read_only=True)
    except (NotFound, StoreUnfinished):  # new, of an earlier schema, or left half done: opening for writing makes it ready
        Store.open(paths.stores, identity).close()
        return Store.open(paths.stores, identity, read_only=True)


def _lessons(count: int) -> str:
    return f"{count} lesson{'' if count == 1 else 's'}"


def _message(preview: Preview) -> str:
    texts = [p.lesson.text for p in preview.pending]
    first = texts[0] if len(texts[0]) <= 80 else texts[0][:79] + "…"
    return first if len(texts) == 1 else f"{len(texts)} lessons: {first}"
