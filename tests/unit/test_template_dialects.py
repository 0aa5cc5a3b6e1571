"""What the chat templates of published models use, each in a small template of our own."""

import datetime

import pytest

from qfcore.errors import ModelError
from qfcore.export.ollama import go_template
from qfcore.runtime.template import ChatTemplate, ForeignTemplate, folded
from tests import templates

SYSTEM = {"role": "system", "content": "Qi started Oxinnovate."}
HELLO = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Hi"}
TAKE_ALL = (
    templates.GENERATION, templates.BREAKS, templates.NAMESPACES, templates.TOOLS, templates.DATED, templates.THINKING,
    templates.OPEN_THINKING, templates.SILENT_THINKING,
)  # fmt: skip


@pytest.mark.parametrize("source", TAKE_ALL)
def test_a_dialect_is_rendered(source: str) -> None:
    text = ChatTemplate(source, bos="<s>", eos="</s>").render([SYSTEM, HELLO, ANSWER, HELLO])
    assert [text.count(m["content"]) for m in (SYSTEM, HELLO, ANSWER)] == [1, 2, 1]


def test_a_generation_block_is_its_content_and_keeps_its_names_to_itself() -> None:
    source = "{% set x = 1 %}{% generation %}{% set x = 2 %}said {{ x }}{% endgeneration %} then {{ x }}"
    assert ChatTemplate(source).render([HELLO]) == "said 2 then 1"


def test_loops_can_be_left_and_gone_on_with() -> None:
    skip, leave = "{% if n == 1 %}{% continue %}{% endif %}", "{% if n == 4 %}{% break %}{% endif %}"
    assert ChatTemplate("{% for n in range(9) %}" + skip + leave + "{{ n }}{% endfor %}").render([HELLO]) == "023"


def test_tools_are_none_where_undefined_is_not_enough() -> None:
    source = "{% if tools is not none %}{{ tools | tojson }}{% endif %}{{ messages[0].content }}"
    assert ChatTemplate(source).render([HELLO]) == "Hello"
    assert ChatTemplate("{% for tool in tools %}{{ tool }}{% endfor %}{{ messages[0].content }}").render([HELLO]) == "Hello"


def test_json_is_not_written_for_a_web_page() -> None:
    assert ChatTemplate("{{ messages[0] | tojson }}").render([{"role": "user", "content": "<é'>"}]) == (
        '{"role": "user", "content": "<é\'>"}'
    )


@pytest.mark.parametrize("source", [templates.NO_SYSTEM, templates.ALTERNATING, templates.IGNORES_SYSTEM])
@pytest.mark.parametrize("kind", [ChatTemplate, ForeignTemplate])
def test_a_system_text_that_is_refused_or_dropped_begins_the_users_message(source: str, kind: type[ChatTemplate]) -> None:
    template = kind(source)
    try:
        both = {"role": "user", "content": f"{SYSTEM['content']}\n\nHello"}
        assert template.render([SYSTEM, HELLO, ANSWER, HELLO]) == template.render([both, ANSWER, HELLO])
        assert template.render([HELLO]) == ChatTemplate(source).render([HELLO])
        pieces = template.segments([SYSTEM, HELLO])
        assert [text for text, is_template in pieces if not is_template] == [SYSTEM["content"], "Hello"]
    finally:
        template.close()


def test_two_questions_in_a_row_are_one_where_roles_must_alternate() -> None:
    template = ChatTemplate(templates.ALTERNATING)
    assert template.render([HELLO, HELLO]) == template.render([{"role": "user", "content": "Hello\n\nHello"}])


def test_what_cannot_be_folded_is_refused_with_the_templates_own_words() -> None:
    with pytest.raises(ModelError, match="never"):
        ChatTemplate("{{ raise_exception('never') }}").render([HELLO])
    source = templates.NO_SYSTEM + "{% if messages|length == 1 %}{{ raise_exception('another') }}{% endif %}"
    with pytest.raises(ModelError, match="no system role here"):
        ChatTemplate(source).render([SYSTEM, HELLO])


def test_a_system_message_that_the_template_takes_stays_one() -> None:
    assert "system: Qi" in ChatTemplate(templates.THINKING).render([SYSTEM, HELLO])


def test_a_system_message_alone_becomes_the_users() -> None:
    assert folded([SYSTEM]) == [{"role": "user", "content": SYSTEM["content"]}]


def test_ollama_gets_the_folded_form() -> None:
    written = go_template(ChatTemplate(templates.ALTERNATING).render)
    assert '{{- if eq .Role "system" -}}{{- "[INST] " -}}' in written
    assert '(eq (index $.Messages 0).Role "system") -}}{{- "\\n\\n" -}}' in written


NO_THOUGHTS = "<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    ("source", "silent", "thinking"),
    [
        (templates.THINKING, f"assistant: {NO_THOUGHTS}", "assistant: "),
        (templates.OPEN_THINKING, f"assistant: {NO_THOUGHTS}", "assistant: <think>\n"),
        (templates.SILENT_THINKING, "assistant: ", "assistant: "),
        (templates.TOOLS, "assistant: ", "assistant: "),
    ],
)
@pytest.mark.parametrize("kind", [ChatTemplate, ForeignTemplate])
def test_thinking_is_ended_before_it_begins_unless_it_is_wished(
    source: str, silent: str, thinking: str, kind: type[ChatTemplate]
) -> None:
    template = kind(source)
    try:
        assert template.render([HELLO]).endswith(silent)
        assert template.render([HELLO], think=True).endswith(thinking)
        assert "".join(text for text, _ in template.segments([HELLO], think=True)) == template.render([HELLO], think=True)
        assert (template.marks is None) == (source == templates.TOOLS)
        template.begins_to_think = template.marks is not None  # then even the silent one must be told
        assert template.render([HELLO]).endswith("assistant: " if template.marks is None else NO_THOUGHTS)
    finally:
        template.close()


@pytest.mark.parametrize("kind", [ChatTemplate, ForeignTemplate])
def test_the_date_is_the_one_that_is_given_and_else_always_the_same(kind: type[ChatTemplate]) -> None:
    template = kind(templates.DATED)
    try:
        assert "26 Jul 2024" in template.render([HELLO])
        assert "24 Nov 2026" in template.render([HELLO], now=datetime.datetime(2026, 11, 24))
    finally:
        template.close()
