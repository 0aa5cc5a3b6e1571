"""Draws the export form, and the import of a bundle. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words
from qfcore.export.merged import TYPES
from qfcore.settings import LEAST_STRENGTH


@dataclass(frozen=True)
class ExportPanel:
    """What, which version, where; and a bundle to take over."""

    kind: gr.Radio
    version: gr.Dropdown
    form: gr.Dropdown
    tensor_type: gr.Dropdown
    max_rank: gr.Number
    strength: gr.Slider
    path: gr.Textbox
    overwrite: gr.Checkbox
    write: gr.Button
    result: gr.Markdown
    bundle: gr.Textbox
    reobserve: gr.Checkbox
    read: gr.Button
    imported: gr.HTML


def draw_export_panel() -> ExportPanel:
    """Draw into the open tab."""
    gr.Markdown(words.EXPORT_INTRO)
    kind = gr.Radio(words.FORMATS, value="gguf", label=words.FORMAT, elem_id="export-kind")
    version = gr.Dropdown([], label=words.VERSION, elem_id="export-version")
    form = gr.Dropdown(words.FORMS, value="plain", label=words.FORM, info=words.FORM_HINT, elem_id="export-form")
    tensor_type = gr.Dropdown(
        [*words.FITTING_TYPES, *TYPES], value="auto", label=words.TENSOR_TYPE, info=words.TENSOR_TYPE_HINT,
        elem_id="export-type",
    )  # fmt: skip
    max_rank = gr.Number(
        value=None, precision=0, minimum=1, maximum=512, visible=False, label=words.MAX_RANK, info=words.MAX_RANK_HINT,
        elem_id="export-max-rank",
    )  # fmt: skip
    strength = gr.Slider(
        LEAST_STRENGTH, 1.0, value=1.0, step=LEAST_STRENGTH, label=words.STRENGTH, info=words.STRENGTH_HINT,
        elem_id="export-strength",
    )
    path = gr.Textbox(label=words.PATH, elem_id="export-path")
    overwrite = gr.Checkbox(False, label=words.OVERWRITE, elem_id="export-overwrite")
    write = gr.Button(words.WRITE, variant="primary", elem_id="export-write")
    result = gr.Markdown(elem_id="export-result")
    gr.Markdown(words.IMPORT_INTRO)
    bundle = gr.Textbox(label=words.BUNDLE, elem_id="import-path")
    reobserve = gr.Checkbox(label=words.REOBSERVE, elem_id="import-reobserve")
    read = gr.Button(words.READ, elem_id="import-read")
    imported = gr.HTML(elem_id="import-result")
    return ExportPanel(
        kind, version, form, tensor_type, max_rank, strength, path, overwrite, write, result, bundle, reobserve, read,
        imported,
    )  # fmt: skip
