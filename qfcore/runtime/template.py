"""The model's own chat template, rendered in a sandbox.

A template comes with the model file and is a program, so it runs in Jinja's immutable sandbox, and unless it is known, in a
process of its own with a time limit. Text that a person wrote never becomes a control token: see `segments`.
"""

import datetime
import hashlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from qfcore.errors import ModelError
from qfcore.runtime.protocol import Message
from qfcore.runtime.thoughts import Marks, marks_in

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Used when a model file names no template of its own, and its vocabulary has these marks."""
PLAIN = (
    "{% for message in messages %}{{ 'Assistant' if message['role'] == 'assistant' else 'User' }}: "
    "{{ message['content'] }}{{ eos_token if message['role'] == 'assistant' else '' }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""Used when a model file names no template and its vocabulary lacks ChatML's marks: as plain text they end no answer."""

KNOWN = {
    "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",  # SmolLM2
    "d5495a1e5db0611132a97e46a65dbb64a642a499421228b9c8b93229097fa9a4",  # Qwen2.5-Coder
}
"""SHA-256 of the templates of the catalogue's models, which were read by us; they are rendered in this process."""
SECONDS = 5.0
"""Longest time that a template may take; ours take a millisecond."""
LESSON_DAY = datetime.datetime(2024, 7, 26, 12)
"""Today, for templates that write the date, wherever something is learned or measured: the same lesson has the same rows on
every day. It is the day that Llama 3.2's template names when it is told none."""

_NO_TOOLS = {"tools": None, "documents": None}
"""For templates that loop over whatever is defined."""
_TEMPLATE_ERRORS = (
    jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError
)

# Private-use characters: they cannot come from a cleaned message, so they mark where a message's text begins and ends.
_OPEN, _CLOSE = "\ue000", "\ue001"


def open_template(source: str | None, *, bos: str = "", eos: str = "") -> "ChatTemplate":
    """The template of a model file, in a process of its own unless it is known; ModelError when it cannot be read."""
    if source in (None, CHATML, PLAIN) or hashlib.sha256(source.encode()).hexdigest() in KNOWN:
        return ChatTemplate(source, bos=bos, eos=eos)
    return ForeignTemplate(source, bos=bos, eos=eos)


class _Generation(Extension):
    """`{% generation %}` marks, for those who train, what the model said; for the text it means nothing."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's form

    def parse(self, parser: Any) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        return jinja2.nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class ChatTemplate:
    """Renders conversations into prompt text.

    marks: what the model writes around its thoughts, if the template speaks of any.
    begins_to_think: whether the model writes the first mark by itself, though it was told not to think; one must try it.

    Raises:
        ModelError: the template cannot be compiled.
    """

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "") -> None:
        self._begin(source or CHATML)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        environment.globals["raise_exception"] = _refuse
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(source or CHATML)
        except jinja2.TemplateError as error:
            raise ModelError(f"The model's chat template cannot be read: {error}. Choose another model file.") from error
        self._given = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": True}

    def _begin(self, source: str) -> None:
        """See what it says of thoughts, without running it."""
        self.marks: Marks | None = marks_in(source)
        self.begins_to_think = False

    def render(self, messages: Sequence[Message], *, think: bool = False, now: datetime.datetime = LESSON_DAY) -> str:
        """Prompt text up to where the answer begins.

        Templates that know no system message, or none of two messages of one role in a row, get their text in a message
        of the user's. Without `think` a model that could think finds its thoughts ended, so that it answers at once.

        Raises:
            ModelError: the template refused the conversation.
        """
        text = self._text(messages, think, now)
        if think or self.marks is None:
            return text
        bare = text.rstrip()
        if bare.endswith(self.marks.open):
            return bare.removesuffix(self.marks.open) + self.marks.empty
        return text + self.marks.empty if self.begins_to_think and not bare.endswith(self.marks.close) else text

    def _text(self, messages: Sequence[Message], think: bool, now: datetime.datetime) -> str:
        plain, refusal = folded(messages), None
        for said, tools in ((messages, {}), (messages, _NO_TOOLS), (plain, {})):
            try:
                text = self._run(said, think, now, tools)
                if said is plain or not self._ignores_system(messages, text, think, now, tools):
                    return text
            except _TEMPLATE_ERRORS as error:
                refusal = refusal or error
        raise ModelError(f"The model's chat template refused this conversation: {refusal}") from refusal

    def _ignores_system(
        self, messages: Sequence[Message], text: str, think: bool, now: datetime.datetime, tools: dict
    ) -> bool:
        """Whether a template lets system messages fall without a word."""
        others = [m for m in messages if m["role"] != "system"]
        if len(others) == len(messages):
            return False
        try:
            return self._run(others, think, now, tools) == text
        except _TEMPLATE_ERRORS:
            return False

    def _run(self, messages: Sequence[Message], think: bool, now: datetime.datetime, tools: dict) -> str:
        return self._template.render(
            messages=list(messages), enable_thinking=think, thinking=think, strftime_now=now.strftime, **tools, **self._given
        )

    def close(self) -> None:
        """Nothing to end here."""

    def segments(
        self, messages: Sequence[Message], *, think: bool = False, now: datetime.datetime = LESSON_DAY
    ) -> list[tuple[str, bool]]:
        """The prompt as (text, is_template) pieces, so that a message's own text can be read without control tokens.

        Needed only where a message holds the text of a control token ("<|im_end|>"); it must be read as plain letters.
        """
        marked = [
            {"role": m["role"], "content": _OPEN + m["content"].replace(_OPEN, "").replace(_CLOSE, "") + _CLOSE}
            for m in messages
        ]
        pieces: list[tuple[str, bool]] = []
        for index, part in enumerate(self.render(marked, think=think, now=now).split(_OPEN)):
            if index == 0:
                pieces.append((part, True))
                continue
            content, _, rest = part.partition(_CLOSE)
            pieces += [(content, False), (rest, True)]
        return [piece for piece in pieces if piece[0]]


class ForeignTemplate(ChatTemplate):
    """A template of unknown origin, rendered by a child process that may be ended.

    Raises:
        ModelError: the template cannot be compiled, or takes too long.
    """

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        self._begin(source)
        self._source = {"source": source, "bos": bos, "eos": eos}  # not even compiled here: Jinja folds constants then
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._start()

    def _text(self, messages: Sequence[Message], think: bool, now: datetime.datetime) -> str:
        """As ChatTemplate's, within `SECONDS`."""
        with self._lock:
            if self._child is None or self._child.poll() is not None:
                self._start()
            return self._ask({"messages": list(messages), "think": think, "now": now.isoformat()})

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _start(self) -> None:
        self._end()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "qfcore.runtime.template_child"], text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._answers = queue.Queue()
        threading.Thread(target=_pass_on, args=(self._child.stdout, self._answers), daemon=True).start()
        try:
            self._ask(self._source, seconds=60.0)  # the first answer waits for Python to start
        except ModelError:
            self._end()
            raise

    def _ask(self, value: object, seconds: float | None = None) -> str:
        seconds = seconds or SECONDS
        try:
            self._child.stdin.write(json.dumps(value) + "\n")
            self._child.stdin.flush()
            answer = json.loads(self._answers.get(timeout=seconds))
        except (queue.Empty, OSError, ValueError) as error:
            self._end()
            raise ModelError(
                f"The model's chat template did not end within {seconds:.0f} s, or ended its process. "
                "It is damaged or hostile; choose another model file."
            ) from error
        if "error" in answer:
            raise ModelError(answer["error"])
        return answer["text"]

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child.stdin.close()
            self._child = None


def folded(messages: Sequence[Message]) -> list[Message]:
    """The same conversation for a template that knows only the user and the model, in turn.

    A system message's text begins the user's next message; messages of one role in a row become one.
    """
    made: list[Message] = []
    for message in messages:
        role = "user" if message["role"] == "system" else message["role"]
        if made and made[-1]["role"] == role:
            made[-1] = {"role": role, "content": f"{made[-1]['content']}\n\n{message['content']}"}
        else:
            made.append({"role": role, "content": message["content"]})
    return made


def _pass_on(lines, answers: "queue.Queue[str]") -> None:  # noqa: ANN001
    with lines:
        for line in lines:
            answers.put(line)
    answers.put("")  # no JSON: the process ended


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: object, indent: int | None = None) -> str:
    """Jinja's own writes quotes as for a web page."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
