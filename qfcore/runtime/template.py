"""The model's own chat template, rendered in a sandbox.

A template comes with the model file and is a program, so it runs in Jinja's immutable sandbox. Text that a person
wrote never becomes a control token: see `ChatTemplate.segments`.
"""

import datetime
from collections.abc import Sequence

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from qfcore.errors import ModelError
from qfcore.runtime.protocol import Message

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Used when a model file names no template of its own."""

# Private-use characters: they cannot come from a cleaned message, so they mark where a message's text begins and ends.
_OPEN, _CLOSE = "\ue000", "\ue001"


class ChatTemplate:
    """Renders conversations into prompt text.

    Raises:
        ModelError: the template cannot be compiled.
    """

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "") -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
        try:
            self._template = environment.from_string(source or CHATML)
        except jinja2.TemplateError as error:
            raise ModelError(f"The model's chat template cannot be read: {error}. Choose another model file.") from error
        self._special = {"bos_token": bos, "eos_token": eos}

    def render(self, messages: Sequence[Message]) -> str:
        """Prompt text up to where the answer begins.

        Raises:
            ModelError: the template refused the conversation.
        """
        try:
            return self._template.render(messages=list(messages), add_generation_prompt=True, **self._special)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"The model's chat template refused this conversation: {error}") from error

    def segments(self, messages: Sequence[Message]) -> list[tuple[str, bool]]:
        """The prompt as (text, is_template) pieces, so that a message's own text can be read without control tokens.

        Needed only where a message holds the text of a control token ("<|im_end|>"); it must be read as plain letters.
        """
        marked = [
            {"role": m["role"], "content": _OPEN + m["content"].replace(_OPEN, "").replace(_CLOSE, "") + _CLOSE}
            for m in messages
        ]
        pieces: list[tuple[str, bool]] = []
        for index, part in enumerate(self.render(marked).split(_OPEN)):
            if index == 0:
                pieces.append((part, True))
                continue
            content, _, rest = part.partition(_CLOSE)
            pieces += [(content, False), (rest, True)]
        return [piece for piece in pieces if piece[0]]


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)
