"""Draws the Teach form and the place of the report card. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words


@dataclass(frozen=True)
class TeachPanel:
    """The form and what answers it."""

    fact: gr.Textbox
    question: gr.Textbox
    answer: gr.Textbox
    method: gr.Radio
    replaces: gr.CheckboxGroup
    preview: gr.Button
    stop: gr.Button
    status: gr.HTML
    report: gr.HTML
    apply: gr.Button
    chip: gr.HTML
    undo: gr.Button
    number: gr.State


def draw_teach_panel() -> TeachPanel:
    """Draw into the open tab."""
    gr.Markdown(words.TEACH_INTRO)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            fact = gr.Textbox(label=words.FACT, placeholder=words.FACT_HINT, lines=3, max_lines=10, elem_id="teach-fact")
            question = gr.Textbox(label=words.QUESTION, placeholder=words.QUESTION_HINT, elem_id="teach-question")
            answer = gr.Textbox(label=words.ANSWER, placeholder=words.ANSWER_HINT, elem_id="teach-answer")
            method = gr.Radio(words.METHODS, value="thorough", label=words.METHOD, elem_id="teach-method")
            replaces = gr.CheckboxGroup([], label=words.REPLACE, visible=False, elem_id="teach-replaces")
            with gr.Row():
                preview = gr.Button(words.PREVIEW, variant="primary", elem_id="teach-preview")
                stop = gr.Button(words.CANCEL, interactive=False, elem_id="teach-stop")
            status = gr.HTML(elem_id="teach-status")
        with gr.Column(scale=3, min_width=300):
            report = gr.HTML(f'<p class="qf-quiet">{words.NO_REPORT}</p>', elem_id="teach-report")
            apply = gr.Button(words.APPLY, variant="primary", interactive=False, elem_id="teach-apply")
            chip = gr.HTML(elem_id="teach-chip")
            undo = gr.Button(words.UNDO, visible=False, size="sm", elem_id="teach-undo")
    number = gr.State(None)
    return TeachPanel(
        fact, question, answer, method, replaces, preview, stop, status, report, apply, chip, undo, number
    )
