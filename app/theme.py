"""Colours, system fonts, and the shipped style and shortcuts. Nothing is fetched from outside."""

import gradio as gr

from qfcore.assets import assets_folder

_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """A calm theme, light and dark."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal, neutral_hue=gr.themes.colors.slate, font=_FONT, font_mono=_MONO,
        radius_size=gr.themes.sizes.radius_lg,
    ).set(
        body_background_fill="*neutral_50", body_background_fill_dark="*neutral_950",
        block_border_width="0px", block_shadow="none",
        button_primary_background_fill="*primary_700", button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700", button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
    )  # fmt: skip


def style() -> str:
    """The shipped CSS."""
    return (assets_folder() / "app.css").read_text(encoding="utf-8")


def shortcuts() -> str:
    """The shipped JavaScript, run when the page loads."""
    return (assets_folder() / "shortcuts.js").read_text(encoding="utf-8")
