"""Draws the chat: conversations in the sidebar, messages, input, settings. No logic."""

from dataclasses import dataclass

import gradio as gr

from app import words

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
    badge: gr.HTML


@dataclass(frozen=True)
class ChatPanel:
    """The conversation."""

    messages: gr.Chatbot
    previous: gr.Button
    position: gr.Markdown
    next: gr.Button
    branches: gr.Row
    box: gr.Textbox
    meter: gr.HTML
    system: gr.Textbox
    temperature: gr.Slider
    max_tokens: gr.Slider


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
                rename = gr.Button(words.RENAME, size="sm", elem_id="chat-rename")
                delete = gr.Button(words.DELETE, size="sm", variant="stop", elem_id="chat-delete")
        badge = gr.HTML(elem_id="model-badge")
    return Sidebar(new, search, chats, title, rename, delete, badge)


def draw_chat_panel() -> ChatPanel:
    """Draw the conversation into the open tab."""
    messages = gr.Chatbot(
        label="Conversation", show_label=False, elem_id="chat-messages", height="calc(100dvh - 285px)", min_height=240,
        buttons=["copy", "copy_all"], editable="user", latex_delimiters=LATEX, placeholder=words.EMPTY_CHAT, layout="bubble",
        sanitize_html=True, allow_tags=False,
    )  # fmt: skip
    with gr.Row(visible=False, elem_id="chat-branches") as branches:
        previous = gr.Button(words.PREVIOUS, size="sm", elem_id="branch-previous", min_width=60)
        position = gr.Markdown("", elem_id="branch-position")
        following = gr.Button(words.NEXT, size="sm", elem_id="branch-next", min_width=60)
    box = gr.Textbox(
        label=words.MESSAGE, show_label=False, placeholder=words.MESSAGE_HINT, lines=1, max_lines=8, elem_id="chat-box",
        submit_btn=True, stop_btn=False, autofocus=True, container=False,
    )  # fmt: skip
    meter = gr.HTML(elem_id="chat-meter")
    with gr.Accordion(words.SETTINGS, open=False, elem_id="chat-settings"):
        system = gr.Textbox(label=words.SYSTEM, placeholder=words.SYSTEM_HINT, lines=2, elem_id="chat-system")
        with gr.Row():
            temperature = gr.Slider(0, 2, value=0.7, step=0.05, label=words.TEMPERATURE, elem_id="chat-temperature")
            max_tokens = gr.Slider(16, 2048, value=512, step=16, label=words.MAX_TOKENS, elem_id="chat-max-tokens")
    return ChatPanel(messages, previous, position, following, branches, box, meter, system, temperature, max_tokens)
