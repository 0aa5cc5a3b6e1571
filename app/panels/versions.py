"""Draws the history of the knowledge. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words
from app.panels.common import actions_html


@dataclass(frozen=True)
class VersionsPanel:
    """The timeline, one version against another, and what can be done with it."""

    timeline: gr.HTML
    more: gr.Button
    pages: gr.State
    """How many pages of the timeline are drawn."""
    curve: gr.LinePlot
    curve_text: gr.HTML
    version: gr.Dropdown
    knows: gr.HTML
    restore: gr.Button
    restore_text: gr.HTML
    chat: gr.Button
    name: gr.Textbox
    tag: gr.Button
    branch: gr.Button
    names: gr.HTML
    other: gr.Dropdown
    lessons: gr.HTML
    ask: gr.Button
    stop: gr.Button
    answers: gr.HTML
    weights_tab: gr.Tab
    show_weights: gr.Button
    weights: gr.BarPlot
    weights_text: gr.HTML
    chip: gr.HTML


def draw_versions_panel() -> VersionsPanel:
    """Draw into the open tab."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            timeline = actions_html("versions-timeline")
            more = gr.Button("", size="sm", elem_id="versions-more")
            curve = gr.LinePlot(
                x="version", y="share", color="what", y_lim=[0, 1.02], title=words.CURVE, x_title=words.VERSION,
                y_title=words.SHARE, height=220, elem_id="versions-curve", buttons=[], show_label=False, visible=False,
            )  # fmt: skip
            curve_text = gr.HTML(elem_id="versions-curve-text")
        with gr.Column(scale=3, min_width=300):
            version = gr.Dropdown([], label=words.VERSION, info=words.VERSION_HINT, elem_id="versions-version")
            with gr.Row():
                restore = gr.Button(words.RESTORE, variant="primary", elem_id="versions-restore", min_width=140)
                chat = gr.Button(words.CHAT_WITH, elem_id="versions-chat", min_width=140)
            restore_text = gr.HTML(elem_id="versions-restore-text")
            chip = gr.HTML(elem_id="versions-chip")
            with gr.Tabs(elem_id="versions-tabs"):
                with gr.Tab(words.TAB_KNOWS, id="knows"):
                    knows = gr.HTML(elem_id="versions-knows")
                with gr.Tab(words.TAB_NAMES, id="names"):
                    with gr.Row(equal_height=True):
                        name = gr.Textbox(
                            label=words.NAME, placeholder=words.NAME_HINT, max_length=64, elem_id="versions-name"
                        )
                        tag = gr.Button(words.TAG, elem_id="versions-tag", min_width=80)
                        branch = gr.Button(words.BRANCH, elem_id="versions-branch", min_width=80)
                    names = actions_html("versions-names")
                with gr.Tab(words.TAB_DIFF, id="diff"):
                    other = gr.Dropdown([], label=words.OTHER, elem_id="versions-other")
                    with gr.Tabs(elem_id="versions-diff"):
                        with gr.Tab(words.TAB_LESSONS, id="diff-lessons"):
                            lessons = gr.HTML(elem_id="diff-lessons")
                        with gr.Tab(words.TAB_ANSWERS, id="diff-answers"):
                            with gr.Row():
                                ask = gr.Button(words.ASK_BOTH, elem_id="diff-ask", min_width=100)
                                stop = gr.Button(words.CANCEL, interactive=False, elem_id="diff-stop", min_width=80)
                            answers = gr.HTML(elem_id="diff-answers")
                        with gr.Tab(words.TAB_WEIGHTS, id="diff-weights") as weights_tab:
                            show_weights = gr.Button(words.COMPARE_WEIGHTS, elem_id="diff-weights-show")
                            weights_text = gr.HTML(elem_id="diff-weights-text")
                            weights = gr.BarPlot(
                                x="layer", y="change", x_title=words.LAYER, y_title=words.CHANGE, height=220,
                                elem_id="diff-weights", buttons=[], show_label=False,
                            )  # fmt: skip
    return VersionsPanel(
        timeline, more, gr.State(1), curve, curve_text, version, knows, restore, restore_text, chat, name, tag, branch,
        names, other, lessons, ask, stop, answers, weights_tab, show_weights, weights, weights_text, chip,
    )  # fmt: skip
