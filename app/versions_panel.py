"""Draws the history of the knowledge. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words


@dataclass(frozen=True)
class VersionsPanel:
    """The timeline and what can be done with it."""

    timeline: gr.HTML
    version: gr.Dropdown
    knows: gr.HTML
    restore: gr.Button
    lesson: gr.Dropdown
    forget: gr.Button
    chip: gr.HTML


def draw_versions_panel() -> VersionsPanel:
    """Draw into the open tab."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            timeline = gr.HTML(elem_id="versions-timeline")
        with gr.Column(scale=2, min_width=300):
            version = gr.Dropdown([], label=words.VERSION, info=words.VERSION_HINT, elem_id="versions-version")
            knows = gr.HTML(elem_id="versions-knows")
            restore = gr.Button(words.RESTORE, variant="primary", elem_id="versions-restore")
            gr.Markdown(words.RESTORE_HINT)
            lesson = gr.Dropdown([], label=words.LESSON, elem_id="versions-lesson")
            forget = gr.Button(words.FORGET, variant="stop", elem_id="versions-forget")
            chip = gr.HTML(elem_id="versions-chip")
    return VersionsPanel(timeline, version, knows, restore, lesson, forget, chip)
