"""Draws the form that teaches. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words
from app.present.common import note


@dataclass(frozen=True)
class TaughtChip:
    """What changed last, with its undo; drawn in the desk and in the chat. The style hides the undo that the text lacks."""

    text: gr.HTML
    undo: gr.Button


@dataclass(frozen=True)
class FilePanel:
    """A file of lessons: its plan, and the state of the work."""

    fold: gr.Accordion
    file: gr.File
    plan: gr.HTML
    on_conflict: gr.Radio
    start: gr.Button
    stop: gr.Button
    progress: gr.HTML
    again: gr.Button
    states: gr.HTML
    lessons: gr.State


@dataclass(frozen=True)
class TeachPanel:
    """The form, what the model proposes, files of lessons, and what answers them."""

    fact: gr.Textbox
    question: gr.Textbox
    said: gr.HTML
    """What the model said that is to be corrected."""
    answer: gr.Textbox
    method: gr.Radio
    split: gr.Button
    proposals: gr.Dataframe
    preview: gr.Button
    stop: gr.Button
    status: gr.HTML
    report: gr.HTML
    replaces: gr.CheckboxGroup
    apply: gr.Button
    thorough: gr.Button
    chip: TaughtChip
    many: FilePanel
    number: gr.State
    shown: gr.State
    """Ids of the contradicted lessons that were offered to be replaced."""
    applied: gr.State
    """Number of the version that the chips are about."""


def draw_taught_chip(place: str) -> TaughtChip:
    """Draw the chip, which shows when it has a text. place: beginning of its controls' ids."""
    with gr.Row(elem_classes="qf-taught"):
        text = gr.HTML(elem_id=f"{place}-chip")
        undo = gr.Button(words.UNDO, size="sm", elem_id=f"{place}-undo", min_width=80, scale=0)
    return TaughtChip(text, undo)


def draw_teach_panel(refusal: str | None = None) -> TeachPanel:
    """Draw into the open tab. refusal: why this model cannot be taught."""
    gr.Markdown(words.TEACH_INTRO, elem_classes="qf-first-run")
    with gr.Accordion(words.HOW_IT_WORKS, open=False, elem_classes="qf-later", elem_id="teach-how"):
        gr.Markdown(words.TEACH_INTRO)
    gr.HTML(note(refusal) if refusal else "", visible=bool(refusal), elem_id="teach-refusal")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            fact = gr.Textbox(label=words.FACT, placeholder=words.FACT_HINT, lines=3, max_lines=10, elem_id="teach-fact")
            question = gr.Textbox(label=words.QUESTION, placeholder=words.QUESTION_HINT, elem_id="teach-question")
            said = gr.HTML(elem_id="teach-said")
            answer = gr.Textbox(label=words.ANSWER, placeholder=words.ANSWER_HINT, elem_id="teach-answer")
            method = gr.Radio(words.METHODS, value="thorough", label=words.METHOD, elem_id="teach-method")
            with gr.Row():
                preview = gr.Button(words.PREVIEW, variant="primary", elem_id="teach-preview", min_width=100)
                split = gr.Button(words.SPLIT, elem_id="teach-split", min_width=100)
                stop = gr.Button(words.CANCEL, interactive=False, elem_id="teach-stop", min_width=80)
            status = gr.HTML(elem_id="teach-status")
            many = _draw_file()
        with gr.Column(scale=3, min_width=300):
            replaces = gr.CheckboxGroup([], value=[], label=words.REPLACE, visible=False, elem_id="teach-replaces")
            with gr.Row():  # above the report card, which may be long
                apply = gr.Button(words.APPLY, variant="primary", interactive=False, elem_id="teach-apply")
                thorough = gr.Button(words.TRY_THOROUGH, visible=False, elem_id="teach-thorough")
            chip = draw_taught_chip("teach")
            report = gr.HTML(f'<p class="qf-quiet">{words.NO_REPORT}</p>', elem_id="teach-report")
    proposals = gr.Dataframe(
        headers=words.PROPOSAL_COLUMNS, datatype=["bool", "str", "str", "str", "str"], type="array", visible=False,
        interactive=True, static_columns=[3, 4], wrap=True, label=words.PROPOSALS, elem_id="teach-proposals",
        row_count=0, column_count=5, buttons=[], column_widths=["9%", "31%", "24%", "18%", "18%"],
    )  # fmt: skip
    return TeachPanel(
        fact, question, said, answer, method, split, proposals, preview, stop, status, report, replaces, apply, thorough,
        chip, many, gr.State(None), gr.State([]), gr.State(None),
    )  # fmt: skip


def _draw_file() -> FilePanel:
    with gr.Accordion(words.MANY, open=False, elem_id="teach-many") as fold:
        gr.Markdown(words.MANY_HINT)
        file = gr.File(label=words.FILE, file_types=[".jsonl", ".csv", ".txt"], elem_id="teach-file", height=120)
        plan = gr.HTML(elem_id="teach-plan")
        on_conflict = gr.Radio(words.CONFLICT_WAYS, value="replace", label=words.ON_CONFLICT, elem_id="teach-on-conflict")
        with gr.Row():
            start = gr.Button(words.TEACH_FILE, interactive=False, elem_id="teach-file-start", min_width=120)
            stop = gr.Button(words.CANCEL, interactive=False, elem_id="teach-file-stop", min_width=80)
        progress = gr.HTML(elem_id="teach-file-progress")
        again = gr.Button("", elem_id="teach-again")
        states = gr.HTML(elem_id="teach-states")
    return FilePanel(fold, file, plan, on_conflict, start, stop, progress, again, states, gr.State([]))
