"""Draws the form that teaches. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words
from app.present.common import note


@dataclass(frozen=True)
class TeachPanel:
    """The form, what the model proposes, files of lessons, and what answers them."""

    fact: gr.Textbox
    question: gr.Textbox
    answer: gr.Textbox
    method: gr.Radio
    replaces: gr.CheckboxGroup
    split: gr.Button
    proposals: gr.Dataframe
    preview: gr.Button
    stop: gr.Button
    status: gr.HTML
    file: gr.File
    plan: gr.HTML
    teach_file: gr.Button
    states: gr.HTML
    report: gr.HTML
    apply: gr.Button
    thorough: gr.Button
    chip: gr.HTML
    undo: gr.Button
    number: gr.State


def draw_teach_panel(refusal: str | None = None) -> TeachPanel:
    """Draw into the open tab. refusal: why this model cannot be taught."""
    gr.Markdown(words.TEACH_INTRO)
    gr.HTML(note(refusal) if refusal else "", visible=bool(refusal), elem_id="teach-refusal")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            fact = gr.Textbox(label=words.FACT, placeholder=words.FACT_HINT, lines=3, max_lines=10, elem_id="teach-fact")
            question = gr.Textbox(label=words.QUESTION, placeholder=words.QUESTION_HINT, elem_id="teach-question")
            answer = gr.Textbox(label=words.ANSWER, placeholder=words.ANSWER_HINT, elem_id="teach-answer")
            method = gr.Radio(words.METHODS, value="thorough", label=words.METHOD, elem_id="teach-method")
            replaces = gr.CheckboxGroup([], label=words.REPLACE, visible=False, elem_id="teach-replaces")
            with gr.Row():
                preview = gr.Button(words.PREVIEW, variant="primary", elem_id="teach-preview", min_width=100)
                split = gr.Button(words.SPLIT, elem_id="teach-split", min_width=100)
                stop = gr.Button(words.CANCEL, interactive=False, elem_id="teach-stop", min_width=80)
            status = gr.HTML(elem_id="teach-status")
            with gr.Accordion(words.MANY, open=False, elem_id="teach-many"):
                gr.Markdown(words.MANY_HINT)
                file = gr.File(
                    label=words.FILE, file_types=[".jsonl", ".csv", ".txt"], elem_id="teach-file", height=120
                )
                plan = gr.HTML(elem_id="teach-plan")
                teach_file = gr.Button(words.TEACH_FILE, interactive=False, elem_id="teach-file-start")
                states = gr.HTML(elem_id="teach-states")
        with gr.Column(scale=3, min_width=300):
            report = gr.HTML(f'<p class="qf-quiet">{words.NO_REPORT}</p>', elem_id="teach-report")
            with gr.Row():
                apply = gr.Button(words.APPLY, variant="primary", interactive=False, elem_id="teach-apply")
                thorough = gr.Button(words.TRY_THOROUGH, visible=False, elem_id="teach-thorough")
            chip = gr.HTML(elem_id="teach-chip")
            undo = gr.Button(words.UNDO, visible=False, size="sm", elem_id="teach-undo")
    proposals = gr.Dataframe(
        headers=words.PROPOSAL_COLUMNS, datatype=["bool", "str", "str", "str", "str"], type="array", visible=False,
        interactive=True, static_columns=[3, 4], wrap=True, label=words.PROPOSALS, elem_id="teach-proposals",
        row_count=0, column_count=5, buttons=[], column_widths=["9%", "31%", "24%", "18%", "18%"],
    )  # fmt: skip
    number = gr.State(None)
    return TeachPanel(
        fact, question, answer, method, replaces, split, proposals, preview, stop, status, file, plan, teach_file, states,
        report, apply, thorough, chip, undo, number,
    )  # fmt: skip
