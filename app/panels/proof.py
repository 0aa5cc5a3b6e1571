"""Draws the proof of the knowledge: what was checked, and backups. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words


@dataclass(frozen=True)
class ProofPanel:
    """Two buttons, and what they found."""

    verify: gr.Button
    backup: gr.Button
    result: gr.HTML


def draw_proof_panel() -> ProofPanel:
    """Draw into the open tab."""
    with gr.Accordion(words.PROOF, open=False, elem_id="versions-proof"):
        gr.Markdown(words.PROOF_INTRO)
        with gr.Row():
            verify = gr.Button(words.VERIFY, elem_id="proof-verify")
            backup = gr.Button(words.BACK_UP, elem_id="proof-backup")
        result = gr.HTML(elem_id="proof-result")
    return ProofPanel(verify, backup, result)
