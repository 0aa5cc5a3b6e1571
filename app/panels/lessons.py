"""Draws the lessons that are live, and how they stand. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words
from app.panels.common import actions_html


@dataclass(frozen=True)
class LessonsPanel:
    """A search, how many stand how, the table with a row of buttons for each lesson, what a button did."""

    search: gr.Textbox
    summary: gr.HTML
    ask_all: gr.Button
    stop: gr.Button
    thorough: gr.Button
    """Teach what did not stick once more."""
    chip: gr.HTML
    table: gr.HTML
    more: gr.Button
    pages: gr.State
    """How many pages of the table are drawn."""


def draw_lessons_panel() -> LessonsPanel:
    """Draw into the open tab."""
    gr.Markdown(words.LESSONS_INTRO)
    search = gr.Textbox(label=words.LESSONS_SEARCH, placeholder=words.SEARCH_HINT, elem_id="lessons-search")
    summary = gr.HTML(elem_id="lessons-summary")
    with gr.Row():
        ask_all = gr.Button(words.ASK_ALL, size="sm", elem_id="lessons-ask-all", min_width=80, scale=0)
        stop = gr.Button(words.CANCEL, size="sm", interactive=False, elem_id="lessons-stop", min_width=80, scale=0)
        thorough = gr.Button("", size="sm", elem_id="lessons-thorough", min_width=80, scale=0)
    chip = gr.HTML(elem_id="lessons-chip")
    table = actions_html("lessons-table")
    more = gr.Button("", size="sm", elem_id="lessons-more")
    return LessonsPanel(search, summary, ask_all, stop, thorough, chip, table, more, gr.State(1))
