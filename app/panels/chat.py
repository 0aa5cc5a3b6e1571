"""Draws the chat: conversations in the sidebar, messages, input, settings. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words
from app.present.chat import chat_style
from app.present.common import escape
from app.presets import DEFAULT, RANGES

LATEX = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
    {"left": "\\[", "right": "\\]", "display": True},
]


@dataclass(frozen=True)
class Sidebar:
    """The left column."""

    new: gr.Button
    search: gr.Textbox
    chats: gr.Radio
    title: gr.Textbox
    rename: gr.Button
    delete: gr.Button
    as_markdown: gr.Button
    as_json: gr.Button
    file: gr.UploadButton
    badge: gr.HTML
    refresh: gr.Button


@dataclass(frozen=True)
class Settings:
    """How an answer is made."""

    system: gr.Textbox
    version: gr.Dropdown
    temperature: gr.Slider
    max_tokens: gr.Slider
    top_p: gr.Slider
    top_k: gr.Slider
    repeat: gr.Slider
    seed: gr.Number
    think: gr.Checkbox
    preset: gr.Dropdown
    preset_name: gr.Textbox
    keep: gr.Button
    drop: gr.Button

    @property
    def values(self) -> list[gr.components.Component]:
        """What an answer depends on, besides its version; the order is that of `app.presets.Preset`."""
        return [
            self.system, self.temperature, self.max_tokens, self.top_p, self.top_k, self.repeat, self.seed, self.think
        ]  # fmt: skip


@dataclass(frozen=True)
class ChatPanel:
    """The conversation."""

    earlier: gr.Button
    messages: gr.Chatbot
    style: gr.HTML
    """Which controls are offered, and the versions below the answers."""
    drawn: gr.Textbox
    """What the page shows, as the server named it; hidden. The watch compares it with what the tab should show."""
    watch: gr.Button
    previous: gr.Button
    position: gr.Markdown
    next: gr.Button
    fork: gr.Dropdown
    again: gr.Button
    go_on: gr.Button
    box: gr.Textbox
    meter: gr.HTML
    settings: Settings


def draw_sidebar() -> Sidebar:
    """Draw the left column into the open Blocks."""
    with gr.Sidebar(width=290, elem_id="qf-sidebar"):
        gr.HTML(f'<h1 class="qf-brand">{words.TITLE}</h1><p class="qf-quiet">{words.TAGLINE}</p>')
        new = gr.Button(words.NEW_CHAT, variant="primary", elem_id="new-chat")
        search = gr.Textbox(
            label=words.SEARCH, placeholder=words.SEARCH_HINT, elem_id="chat-search",
        )  # fmt: skip
        chats = gr.Radio([], label=words.CONVERSATIONS, elem_id="chat-list")
        with gr.Accordion(words.MANAGE, open=False, elem_id="chat-manage"):
            title = gr.Textbox(label=words.TITLE_FIELD, max_length=120, elem_id="chat-title")
            with gr.Row():
                rename = gr.Button(words.RENAME, size="sm", elem_id="chat-rename", min_width=60)
                delete = gr.Button(words.DELETE, size="sm", variant="stop", elem_id="chat-delete", min_width=60)
            with gr.Row():
                as_markdown = gr.Button(words.AS_MARKDOWN, size="sm", elem_id="chat-markdown", min_width=60)
                as_json = gr.Button(words.AS_JSON, size="sm", elem_id="chat-json", min_width=60)
            file = gr.UploadButton(words.IMPORT_CHAT, size="sm", file_types=[".json"], elem_id="chat-import")
        badge = gr.HTML(elem_id="model-badge")
        gr.HTML(_tools(), elem_id="qf-tools")
        refresh = gr.Button("", elem_id="sidebar-refresh", visible="hidden")
    return Sidebar(new, search, chats, title, rename, delete, as_markdown, as_json, file, badge, refresh)


def _tools() -> str:
    """Look, and the sheet of shortcuts; `assets/shortcuts.js` makes them work."""
    looks = "".join(
        f'<button class="qf-button" data-look="{name}" aria-pressed="false">{escape(label)}</button>'
        for name, label in words.LOOKS
    )
    rows = "".join(
        f"<tr><th scope='row'><kbd>{escape(keys)}</kbd></th><td>{escape(what)}</td></tr>" for keys, what in words.HELP
    )
    return (
        f'<div class="qf-buttons" role="group" aria-label="{escape(words.LOOK)}">{looks}</div>'
        f'<button id="help-button" class="qf-button" aria-haspopup="dialog" aria-controls="qf-help" '
        f'aria-label="{escape(words.HELP_BUTTON)}" title="{escape(words.HELP_BUTTON)}">?</button>'
        f'<dialog id="qf-help" aria-labelledby="qf-help-title"><h2 id="qf-help-title">{escape(words.HELP_TITLE)}</h2>'
        f'<table class="qf-table"><tbody>{rows}</tbody></table>'
        f'<button class="qf-button" data-close="qf-help">{escape(words.CLOSE)}</button></dialog>'
    )


def _placeholder() -> str:
    """What an empty conversation shows: the first steps, until something was taught."""
    return f'<div class="qf-first-run">\n\n{words.EMPTY_CHAT}\n\n</div><p class="qf-later">{escape(words.CHAT_READY)}</p>'


def draw_chat_panel(*, thinks: bool) -> ChatPanel:
    """Draw the conversation into the open tab. thinks: whether the model can think before it answers."""
    earlier = gr.Button(words.EARLIER, size="sm", elem_id="chat-earlier")
    messages = gr.Chatbot(
        label=words.CONVERSATION, show_label=False, elem_id="chat-messages", height="calc(100dvh - 285px)", min_height=240,
        buttons=["copy", "copy_all"], editable="user", latex_delimiters=LATEX, placeholder=_placeholder(), layout="bubble",
        sanitize_html=True, allow_tags=False, feedback_options=(words.TEACH_THIS, words.WRONG),
    )  # fmt: skip
    style = gr.HTML(chat_style([]), elem_id="chat-style", visible="hidden")
    drawn = gr.Textbox(label="drawn", elem_id="chat-drawn", visible="hidden")
    watch = gr.Button("", elem_id="chat-watch", visible="hidden")
    with gr.Row(elem_id="chat-branches"):
        previous = gr.Button(words.PREVIOUS, size="sm", elem_id="branch-previous", min_width=60)
        position = gr.HTML(elem_id="branch-position")
        following = gr.Button(words.NEXT, size="sm", elem_id="branch-next", min_width=60)
        fork = gr.Dropdown([], label=words.FORK, show_label=False, container=False, elem_id="branch-fork", min_width=180)
    again = gr.Button(words.ANSWER_AGAIN, size="sm", elem_id="chat-again")
    go_on = gr.Button(words.GO_ON, size="sm", elem_id="chat-continue")
    box = gr.Textbox(
        label=words.MESSAGE, show_label=False, placeholder=words.MESSAGE_HINT, lines=1, max_lines=8, elem_id="chat-box",
        submit_btn=True, stop_btn=True, autofocus=True, container=False,
    )  # fmt: skip
    meter = gr.HTML(elem_id="chat-meter")
    return ChatPanel(
        earlier, messages, style, drawn, watch, previous, position, following, fork, again, go_on, box, meter,
        _draw_settings(thinks),
    )  # fmt: skip


def _draw_settings(thinks: bool) -> Settings:
    with gr.Accordion(words.SETTINGS, open=False, elem_id="chat-settings"):
        system = gr.Textbox(label=words.SYSTEM, placeholder=words.SYSTEM_HINT, lines=2, elem_id="chat-system")
        with gr.Row():
            version = gr.Dropdown([(words.LIVE, "live")], value="live", label=words.ANSWER_WITH, elem_id="chat-version")
            temperature = gr.Slider(
                *RANGES["temperature"], value=DEFAULT.temperature, step=0.05, label=words.TEMPERATURE,
                elem_id="chat-temperature",
            )  # fmt: skip
            max_tokens = gr.Slider(
                *RANGES["max_tokens"], value=DEFAULT.max_tokens, step=16, label=words.MAX_TOKENS, elem_id="chat-max-tokens"
            )
        think = gr.Checkbox(
            value=DEFAULT.think, label=words.THINK, info=words.THINK_HINT, visible=thinks, elem_id="chat-think"
        )
        with gr.Accordion(words.MORE_SETTINGS, open=False, elem_id="chat-more"):
            with gr.Row():
                top_p = gr.Slider(*RANGES["top_p"], value=DEFAULT.top_p, step=0.05, label=words.TOP_P, elem_id="chat-top-p")
                top_k = gr.Slider(*RANGES["top_k"], value=DEFAULT.top_k, step=1, label=words.TOP_K, elem_id="chat-top-k")
                repeat = gr.Slider(
                    *RANGES["repeat"], value=DEFAULT.repeat, step=0.05, label=words.REPEAT, elem_id="chat-repeat"
                )
                low, high = RANGES["seed"]
                seed = gr.Number(
                    value=None, precision=0, minimum=low, maximum=high, label=words.SEED, elem_id="chat-seed"
                )
            with gr.Row(equal_height=True):
                preset = gr.Dropdown([], label=words.PRESET, elem_id="chat-preset")
                preset_name = gr.Textbox(label=words.PRESET_NAME, max_length=60, elem_id="chat-preset-name")
                keep = gr.Button(words.PRESET_KEEP, size="sm", elem_id="chat-preset-keep")
                drop = gr.Button(words.PRESET_DROP, size="sm", elem_id="chat-preset-drop")
    return Settings(
        system, version, temperature, max_tokens, top_p, top_k, repeat, seed, think, preset, preset_name, keep, drop
    )
