"""Draws the lessons that are live, and how they stand. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words
from app.panels.common import actions_html


@dataclass(frozen=True)
class LessonsPanel:
    """A search, the table with a row of buttons for each lesson, what a button did."""

    search: gr.Textbox
    chip: gr.HTML
    table: gr.HTML


def draw_lessons_panel() -> LessonsPanel:
    """Draw into the open tab."""
    gr.Markdown(words.LESSONS_INTRO)
    search = gr.Textbox(label=words.LESSONS_SEARCH, placeholder=words.SEARCH_HINT, elem_id="lessons-search")
    chip = gr.HTML(elem_id="lessons-chip")
    return LessonsPanel(search, chip, actions_html("lessons-table"))
