"""A Modelfile, with which Ollama makes a model of a GGUF file: https://docs.ollama.com/modelfile."""

from collections.abc import Callable, Sequence

from qfcore.errors import ExportError

Render = Callable[[Sequence[dict[str, str]]], str]
"""The model's own chat template: a conversation as the text of its prompt, ready for the answer."""
_SYSTEM, _USER, _ANSWER, _AGAIN = "\u2460system\u2460", "\u2461user\u2461", "\u2462answer\u2462", "\u2463again\u2463"


def modelfile(
    model: str, render: Render, *, stop: str, begin: str = "", temperature: float, top_k: int, top_p: float
) -> str:
    """The text of a Modelfile for a file `model` beside it.

    Ollama has Go templates, GGUF files Jinja's. The pieces between messages are found by rendering a conversation with the
    model's own template, so the prompt is the same to the letter (of system, user and assistant in turn). begin: the text of
    the token that the tokenizer puts before every prompt by itself, "" when it does not; the template must not write it too.

    Raises:
        ExportError: the template writes messages otherwise than one after another.
    """
    template = go_template(lambda messages: render(messages).removeprefix(begin))
    quoted = template.replace('"""', '\\"""')
    lines = [f"FROM ./{model}", f'TEMPLATE """{quoted}"""', f"PARAMETER temperature {temperature:g}"]
    lines += [f"PARAMETER top_k {top_k}", f"PARAMETER top_p {top_p:g}"]
    lines += [f'PARAMETER stop "{stop}"'] if stop else []
    return "\n".join(lines) + "\n"


def go_template(render: Render) -> str:
    """The chat template in Go's language, over `.Messages` and their `.Role` and `.Content`."""
    system = {"role": "system", "content": _SYSTEM}
    turn = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}]
    again = {"role": "user", "content": _AGAIN}
    before_system, rest = _cut(render([system, *turn, again]), _SYSTEM)
    after_system, rest = _cut(rest, _USER)
    before_answer, rest = _cut(rest, _ANSWER)
    after_answer, end = _cut(rest, _AGAIN)
    first, _ = _cut(render(turn[:1]), _USER)  # some templates begin with a system message of their own
    # What ends a message cannot be told from what begins the next: both are written before the next.
    return "".join(
        [
            "{{- range $i, $_ := .Messages -}}",
            f'{{{{- if eq .Role "system" -}}}}{_text(before_system)}',
            f'{{{{- else if eq .Role "assistant" -}}}}{_text(before_answer)}',
            f"{{{{- else if eq $i 0 -}}}}{_text(first)}",
            f'{{{{- else if and (eq $i 1) (eq (index $.Messages 0).Role "system") -}}}}{_text(after_system)}',
            f"{{{{- else -}}}}{_text(after_answer)}",
            "{{- end -}}{{ .Content }}{{- end -}}",
            _text(end),
        ]
    )


def _cut(text: str, mark: str) -> tuple[str, str]:
    before, found, after = text.partition(mark)
    if not found:
        raise ExportError("The model's chat template changes messages; Ollama's cannot be made of it.")
    return before, after


def _text(text: str) -> str:
    """A literal of Go's template language: trimming must not touch it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'{{{{- "{escaped}" -}}}}' if text else ""
