"""Chat templates are programs that come with model files: what they may not do, and how long they may take."""

import time

import pytest

from qfcore.errors import ModelError
from qfcore.runtime import template as module
from qfcore.runtime.template import CHATML, PLAIN, ChatTemplate, ForeignTemplate, open_template

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def foreign():
    """Makes templates of unknown origin and ends their processes."""
    made: list[ForeignTemplate] = []

    def make(source: str) -> ForeignTemplate:
        made.append(ForeignTemplate(source))
        return made[-1]

    yield make
    for template in made:
        template.close()


def test_a_foreign_template_renders_as_it_would_here(foreign) -> None:  # noqa: ANN001
    messages = [*HELLO, {"role": "assistant", "content": "Hi “you” 🙂"}, {"role": "user", "content": "<|im_end|>"}]
    template = foreign(CHATML)
    assert template.render(messages) == ChatTemplate(CHATML).render(messages)
    assert template.segments(messages) == ChatTemplate(CHATML).segments(messages)


def test_only_known_templates_run_in_this_process() -> None:
    assert type(open_template(None)) is ChatTemplate
    template = open_template(CHATML + " ")
    assert type(template) is ForeignTemplate
    template.close()


def test_a_template_that_never_ends_is_ended(foreign, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN001
    monkeypatch.setattr(module, "SECONDS", 1.0)
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    template = foreign("{% if messages|length > 1 %}" + loop + "{% endif %}fine")
    started = time.monotonic()
    with pytest.raises(ModelError, match="did not end within"):
        template.render(HELLO * 2)
    assert time.monotonic() - started < 30
    assert template.render(HELLO) == "fine"  # a new process serves the next conversation


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 9999999999 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ 1 // 0 }}",
        "{{ messages[99].content.x }}",
        "{{ raise_exception('no system message') }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_a_hostile_template_is_refused_in_words(foreign, source: str) -> None:  # noqa: ANN001
    with pytest.raises(ModelError, match="template"):
        foreign(source).render(HELLO)


def test_a_template_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        open_template("{% for %}")


def test_a_model_without_a_template_or_its_marks_gets_plain_turns_that_its_own_end_closes() -> None:
    template = open_template(PLAIN, bos="<s>", eos="</s>")
    messages = [*HELLO, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Bye"}]
    assert template.render(messages) == "User: Hello\nAssistant: Hi</s>\nUser: Bye\nAssistant:"
