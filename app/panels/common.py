"""What several panels draw alike."""

import gradio as gr

_ACTIONS = (
    "element.addEventListener('click', (event) => { const button = event.target.closest('[data-action]'); "
    "if (!button || (button.dataset.confirm && !confirm(button.dataset.confirm))) return; "
    "trigger('click', { ...button.dataset }); });"
)


def actions_html(elem_id: str) -> gr.HTML:
    """HTML whose buttons with `data-action` trigger `click`; the handler's EventData has all `data-` values.

    A button with `data-confirm` asks that first, and does nothing when the person declines.
    """
    return gr.HTML(elem_id=elem_id, js_on_load=_ACTIONS)
