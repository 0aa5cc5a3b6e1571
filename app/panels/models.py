"""Draws the models that there are, and the form that installs another one. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words
from app.panels.common import actions_html


@dataclass(frozen=True)
class ModelsPanel:
    """The table with its buttons; a name, what to do with it, and what became of it."""

    table: gr.HTML
    name: gr.Textbox
    install: gr.Button
    stop: gr.Button
    open: gr.Button
    result: gr.HTML


def draw_models_panel() -> ModelsPanel:
    """Draw into the open tab."""
    gr.Markdown(words.MODELS_INTRO)
    table = actions_html("models-table")
    name = gr.Textbox(label=words.MODEL_NAME, placeholder=words.MODEL_NAME_HINT, elem_id="models-name")
    with gr.Row():
        install = gr.Button(words.INSTALL, variant="primary", elem_id="models-install")
        stop = gr.Button(words.CANCEL, elem_id="models-stop")
        open_ = gr.Button(words.OPEN_WITH, elem_id="models-open")
    result = gr.HTML(elem_id="models-result")
    return ModelsPanel(table, name, install, stop, open_, result)
