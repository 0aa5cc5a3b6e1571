"""Draws one question to two versions, side by side. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words
from app.panels.chat import LATEX


@dataclass(frozen=True)
class Side:
    """One version and what it says."""

    version: gr.Dropdown
    answer: gr.Markdown
    meter: gr.HTML


@dataclass(frozen=True)
class ArenaPanel:
    """The question and the two sides."""

    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    left: Side
    right: Side


def draw_arena_panel() -> ArenaPanel:
    """Draw into the open tab."""
    gr.Markdown(words.ARENA_INTRO)
    question = gr.Textbox(label=words.ARENA_QUESTION, lines=1, max_lines=4, elem_id="arena-question")
    with gr.Row():
        ask = gr.Button(words.ASK_BOTH, variant="primary", elem_id="arena-ask")
        stop = gr.Button(words.CANCEL, elem_id="arena-stop")
    with gr.Row(equal_height=False):
        left = _draw_side("left", words.ARENA_LEFT)
        right = _draw_side("right", words.ARENA_RIGHT)
    return ArenaPanel(question, ask, stop, left, right)


def _draw_side(name: str, label: str) -> Side:
    with gr.Column(min_width=280, elem_classes="qf-side"):
        version = gr.Dropdown([], label=label, elem_id=f"arena-{name}-version")
        answer = gr.Markdown("", elem_id=f"arena-{name}", latex_delimiters=LATEX, min_height=120, sanitize_html=True)
        meter = gr.HTML(elem_id=f"arena-{name}-meter")
    return Side(version, answer, meter)
