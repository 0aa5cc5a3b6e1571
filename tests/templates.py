"""Chat templates of our own, each with a construct that published ones use."""

_SAY = "<s>{{ m.role }}: {{ m.content }}</s>"
_EACH = "{% for m in messages %}" + _SAY + "{% endfor %}"
_ASK = "{% if add_generation_prompt %}<s>assistant: {% endif %}"

NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role here') }}{% endif %}" + _EACH + _ASK
"""As Gemma 2."""

ALTERNATING = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must take turns') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] + eos_token }}"
    "{% else %}{{ raise_exception('a role that is not known') }}{% endif %}{% endfor %}"
)
"""As Mistral Instruct."""

IGNORES_SYSTEM = "{% for m in messages %}{% if m.role != 'system' %}" + _SAY + "{% endif %}{% endfor %}" + _ASK

GENERATION = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}"
    + _SAY + "{% endgeneration %}{% else %}" + _SAY + "{% endif %}{% endfor %}" + _ASK
)  # fmt: skip
"""As SmolLM3."""

BREAKS = "{% for m in messages %}{% if not m.content %}{% continue %}{% endif %}" + _SAY + (
    "{% if loop.last %}{% break %}{% endif %}{% endfor %}"
) + _ASK

NAMESPACES = (
    "{%- set seen = namespace(system=false, text='') -%}"
    "{%- for m in messages if m.role == 'system' %}{% set seen.system = true %}{% set seen.text = m.content %}{% endfor -%}"
    "{%- if seen.system %}<s>system: {{ seen.text | trim }}</s>{% endif -%}"
    "{%- for m in messages[(1 if seen.system else 0):] -%}" + _SAY + "{%- endfor -%}" + _ASK
)

TOOLS = (
    "{%- if not tools is defined %}{% set tools = none %}{% endif -%}"
    "{%- if tools is not none %}{{ tools | length }}{{ documents | tojson }}{% endif -%}" + _EACH + _ASK
)
"""As Llama 3.2: `tools` may be None, but not undefined."""

DATED = "{% set today = strftime_now('%d %b %Y') %}<s>system: Today is {{ today }}.</s>" + _EACH + _ASK
"""As Llama 3.2 and SmolLM3."""

_EARLIER = "{% for m in messages %}<s>{{ m.role }}: {{ m.content.split('</think>')[-1].lstrip('\\n') }}</s>{% endfor %}"

THINKING = _EARLIER + _ASK + (
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
)
"""As Qwen 3."""

OPEN_THINKING = _EARLIER + _ASK + "{{ '<think>\\n' }}"
"""As DeepSeek R1."""

SILENT_THINKING = _EARLIER + _ASK
"""As the first files of DeepSeek R1, whose model begins to think by itself."""
