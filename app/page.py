"""The page: panels in order, and their handlers."""

import gradio as gr

from app import words
from app.chat_events import ChatEvents
from app.chat_panel import draw_chat_panel, draw_sidebar
from app.events import AT_ONCE, QUICK
from app.export_panel import draw_export_panel
from app.knowledge_events import KnowledgeEvents
from app.session import Session
from app.teach_panel import draw_teach_panel
from app.versions_panel import draw_versions_panel


def build_page(session: Session) -> gr.Blocks:
    """The whole window over one session."""
    with gr.Blocks(title=words.TITLE, fill_width=True, analytics_enabled=False) as page:
        chat_id = gr.State(None)
        side = draw_sidebar()
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(words.TAB_CHAT, id="chat"):
                chat = draw_chat_panel()
            with gr.Tab(words.TAB_TEACH, id="teach"):
                teach = draw_teach_panel()
            with gr.Tab(words.TAB_VERSIONS, id="versions"):
                history = draw_versions_panel()
            with gr.Tab(words.TAB_EXPORT, id="export"):
                export = draw_export_panel()
        # Pressed by keyboard shortcuts only (assets/shortcuts.js).
        stop = gr.Button("Stop", elem_id="chat-stop", visible="hidden")
        help_button = gr.Button("Help", elem_id="help-button", visible="hidden")
        help_button.click(lambda: gr.Info(words.HELP, duration=8), **AT_ONCE)
        chats = ChatEvents(session, chat_id, side, chat)
        chats.wire(stop)
        knowledge = KnowledgeEvents(session, side, teach, history, export)
        knowledge.wire()
        page.load(chats.new, side.search, chats.outputs, **QUICK)
        page.load(knowledge.values, None, knowledge.outputs, **QUICK)
    return page
