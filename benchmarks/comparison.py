"""The same lessons, the same weights, the same questions: QF against what people would use instead.

    python -m benchmarks.comparison SUITE.jsonl [--limit 16] [--text TEXTS.jsonl] [--only NAME,NAME] [--out FILE.json]

Contenders: the untaught base; each lesson in its own prompt (the ceiling); all lessons in every prompt, as memories do it;
QF thorough and fast, as in the app (the lessons that a question mentions are active) and with everything active, as in
exported weights; the paper's bare QF; LoRA by gradients and a MEMIT edit (benchmarks.gradients, the extra `bench`). All
answer greedily through the same runtime, and each is compared with the base under the same batching.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil

from qfcore.engine import Engine
from qfcore.evaluate import Route, ask_each
from qfcore.examine import Learned
from qfcore.knowledge import Knowledge
from qfcore.measure.scores import asked_questions, counted, locality_of, scores_of
from qfcore.measure.suite import TOKENS, drift_of, lesson_of, read_suite
from qfcore.observe import student_messages, teacher_messages
from qfcore.recipe import recipe_named
from qfcore.runtime.protocol import Message
from qfcore.store.store import Store
from qfcore.teach import Teacher

CONTENDERS = ("base", "own", "all", "fast", "thorough", "fast-all", "thorough-all", "paper", "lora", "memit")
LABELS = {
    "base": "untaught base", "own": "its lesson in the prompt", "all": "all lessons in the prompt",
    "fast": "**QF fast**", "thorough": "**QF thorough**", "fast-all": "QF fast, exported",
    "thorough-all": "QF thorough, exported", "paper": "QF as in the paper", "lora": "LoRA by gradients", "memit": "MEMIT",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What one contender answered, and what it cost."""

    answers: list[str]
    base: list[str]
    seconds_per_lesson: float = 0.0
    memory_bytes: int = 0
    extra_tokens: float = 0.0
    """Prompt tokens per question that are spent on knowledge."""
    route: Route | None = None


class Comparison:
    """One engine, one suite; every contender is asked the same questions."""

    def __init__(self, engine: Engine, items: Sequence[dict], folder: Path, texts: Path | None) -> None:
        self.engine, self.items, self.folder, self.texts = engine, list(items), folder, texts
        self.lessons = [lesson_of(item) for item in items]
        self.questions = [question for item in items for question in asked_questions(item)]
        self._learned: dict[str, tuple[Learned, Teacher, float]] = {}

    @cached_property
    def base(self) -> list[str]:
        """The untaught answers."""
        return ask_each(self.engine.runtime, self.questions, lambda _: None, max_tokens=TOKENS)

    def run(self, name: str) -> Result:
        """Let one contender learn and answer."""
        if name == "base":
            return Result(self.base, self.base, memory_bytes=_memory(), route=lambda _: None)
        if name in ("own", "all"):
            return self._prompted(name)
        if name in ("lora", "memit"):
            return self._trained(name)
        return self._taught(name.removesuffix("-all"), everything=name.endswith("-all") or name == "paper")

    def _prompted(self, name: str) -> Result:
        everything: Message = {"role": "system", "content": "\n".join(lesson.text for lesson in self.lessons)}
        conversations, like = [], []
        for lesson, item in zip(self.lessons, self.items, strict=True):
            for question in (*asked_questions(item), "0"):
                told = teacher_messages(lesson, question) if name == "own" else [everything, *student_messages(question)]
                conversations.append(told)
            like += [conversations.pop()] * len(asked_questions(item))
        runtime = self.engine.runtime
        said = runtime.complete_each(conversations, [None] * len(like), max_tokens=TOKENS, like=like)
        answers = [runtime.detokenize(tokens) for tokens in said]
        plain = [student_messages(question) for question in self.questions]
        spent = [runtime.count_tokens(a) - runtime.count_tokens(b) for a, b in zip(conversations, plain, strict=True)]
        return Result(answers, self.base, memory_bytes=_memory(), extra_tokens=sum(spent) / len(spent))

    def _learn(self, method: str) -> tuple[Learned, Teacher, float]:
        if method not in self._learned:
            recipe = recipe_named(method)
            self.engine.recipe = recipe
            self.engine.prepare()
            store = Store.open(self.folder / method, self.engine.store.model)
            knowledge = Knowledge(store, store.model.architecture, self.engine.replay)
            teacher = Teacher(self.engine.runtime, store, knowledge, self.engine.head)
            started = time.perf_counter()
            learned = teacher.learn(self.lessons, recipe)
            seconds = (time.perf_counter() - started) / len(self.lessons)
            self._learned[method] = (learned, teacher, seconds)
            store.commit(keep=(), new=learned.pending, solve=learned.solve, kind="teach", message=method, expect_live=0)
            self._stores = [*getattr(self, "_stores", []), store]
        return self._learned[method]

    def _taught(self, method: str, *, everything: bool) -> Result:
        learned, teacher, seconds = self._learn(method)
        store = teacher._store
        if everything:
            knowledge = Knowledge(store, store.model.architecture, self.engine.replay)
            teacher = Teacher(self.engine.runtime, store, knowledge, self.engine.head, everything=True)
        route = teacher.routing(store.live()).adapter
        answers = ask_each(self.engine.runtime, self.questions, route, self.base, max_tokens=TOKENS)
        return Result(answers, self.base, seconds, _memory(), route=route)

    def _trained(self, name: str) -> Result:
        learned, _, _ = self._learn("thorough")
        task, out = self.folder / f"{name}.json", self.folder / f"{name}.gguf"
        task.write_text(json.dumps([self._task(pending) for pending in learned.pending]))
        given = [self.engine.runtime.facts.path, task, out, *([self.texts] if self.texts else [])]
        command = [sys.executable, "-m", "benchmarks.gradients", name, *map(str, given)]
        done = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = []
        for line in done.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        if done.wait():
            raise SystemExit(f"{name} failed; see above.")
        cost = json.loads(lines[-1])
        answers = ask_each(self.engine.runtime, self.questions, lambda _: out, max_tokens=TOKENS)
        per_lesson = cost["seconds"] / len(self.lessons)
        return Result(answers, self.base, per_lesson, cost["peak_bytes"], route=lambda _: out)

    def _task(self, pending) -> dict:  # noqa: ANN001
        prompts = self.engine.runtime._prompts
        pairs = [
            {"prompt": prompts.tokens(student_messages(p.question)), "answer": prompts.answer(p.answer)}
            for p in pending.phrasings
        ]
        subject = _shared(pending.lesson.text, pending.phrasings[0].question)
        return {"pairs": pairs, "subject": _last_token(pairs[0]["prompt"], subject, prompts.text)}

    def latency(self, name: str) -> float:
        """Seconds to the answer of a question in a fresh chat, the median of three lessons'."""
        everything = "\n".join(lesson.text for lesson in self.lessons)
        times = []
        for lesson, item in list(zip(self.lessons, self.items, strict=True))[:3]:
            messages = student_messages(item["question"])
            if name == "all":
                messages = [{"role": "system", "content": everything}, *messages]
            elif name == "own":
                messages = teacher_messages(lesson, item["question"])
            started = time.perf_counter()
            self.engine.runtime.complete_many([messages], max_tokens=1, adapter=None)
            times.append(time.perf_counter() - started)
        return sorted(times)[1]

    def close(self) -> None:
        """Close the scratch stores."""
        for store in getattr(self, "_stores", []):
            store.close()


def _memory() -> int:
    return psutil.Process().memory_info().rss


def _shared(text: str, question: str) -> str:
    """The longest run of words that lesson and question share, which is what the lesson is about."""
    words, best = question.rstrip("?").split(), ""
    for begin in range(len(words)):
        for end in range(begin + 1, len(words) + 1):
            run = " ".join(words[begin:end]).strip("\"'.,;:")
            if len(run) > len(best) and run in text:
                best = run
    return best or words[-1]


def _last_token(prompt: list[int], subject: str, text: Callable[[Sequence[int]], str]) -> int:
    whole = text(prompt)
    until = whole.rfind(subject) + len(subject)
    for index in range(len(prompt)):
        if len(text(prompt[: index + 1])) >= until:
            return index
    raise ValueError(f"{subject!r} is not in the prompt.")


def measured(comparison: Comparison, name: str, texts: Sequence[dict]) -> dict:
    """One contender's figures."""
    result = comparison.run(name)
    value = {
        "name": name, **scores_of(comparison.items, result.answers),
        **locality_of(comparison.items, result.base, result.answers),
        "seconds_per_lesson": round(result.seconds_per_lesson, 2), "memory_bytes": result.memory_bytes,
        "prompt_tokens": round(result.extra_tokens, 1), "answers": result.answers,
    }  # fmt: skip
    if name in ("base", "own", "all"):
        value["first_token_seconds"] = round(comparison.latency(name), 3)
    if texts and result.route is not None:
        value["drift"] = drift_of(comparison.engine, result.route, texts)
    return value


def row(value: dict) -> str:
    """One line of the table."""

    def cell(name: str) -> str:
        return counted(value[name])

    drift = value["drift"]["ratio"] if "drift" in value else math.nan
    return (
        f"| {LABELS[value['name']]} | {cell('recall')} | {cell('generalisation')} | {cell('portability')} "
        f"| {cell('identical')} | {'–' if math.isnan(drift) else f'{drift:.4f}'} | {value['prompt_tokens']:.0f} "
        f"| {value['seconds_per_lesson']:.1f} | {value['memory_bytes'] / 1e9:.1f} |"
    )


def main() -> None:
    """Run the contenders one after the other; print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--only", default=",".join(CONTENDERS))
    parser.add_argument("--home", type=Path)
    parser.add_argument("--out", type=Path, default=Path("comparison.json"))
    options = parser.parse_args()
    items = read_suite(options.suite, options.limit)
    texts = read_suite(options.text, 100) if options.text else []
    engine = Engine.open(home=options.home, read_only=True)
    values = []
    print("| method | recall | generalisation | portability | neighbours identical | perplexity | tokens | s/lesson | GB |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="qfchat-comparison-") as folder:
            comparison = Comparison(engine, items, Path(folder), options.text)
            try:
                for name in options.only.split(","):
                    values.append(measured(comparison, name, texts))
                    print(row(values[-1]), flush=True)
                    result = {"suite": options.suite.name, "lessons": len(items), "contenders": values}
                    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            finally:
                comparison.close()
    finally:
        engine.close()


if __name__ == "__main__":
    main()
