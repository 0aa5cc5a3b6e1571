"""The page: panels in order, and their handlers."""

import gradio as gr

from app import words
from app.events.arena import ArenaEvents
from app.events.chat import ChatEvents
from app.events.common import QUICK
from app.events.export import ExportEvents
from app.events.knowledge import Knowledge
from app.events.lessons import LessonsEvents
from app.events.models import ModelsEvents
from app.events.proof import ProofEvents
from app.events.settings import SettingsEvents
from app.events.teach import TeachEvents
from app.events.versions import VersionsEvents
from app.panels.arena import draw_arena_panel
from app.panels.chat import draw_chat_panel, draw_sidebar
from app.panels.export import draw_export_panel
from app.panels.lessons import draw_lessons_panel
from app.panels.models import draw_models_panel
from app.panels.proof import draw_proof_panel
from app.panels.teach import draw_taught_chip, draw_teach_panel
from app.panels.versions import draw_versions_panel
from app.presets import Presets
from app.session import Session


def build_page(session: Session) -> gr.Blocks:
    """The whole window over one session."""
    with gr.Blocks(title=words.TITLE, fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        chat_id = gr.State(None)
        kept = gr.BrowserState(None, storage_key="qfchat-chat", secret="not a secret: which conversation was shown")
        side = draw_sidebar()
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(words.TAB_CHAT, id="chat"):
                spoken = draw_taught_chip("chat")
                chat = draw_chat_panel(thinks=session.engine.runtime.facts.thinks)
            with gr.Tab(words.TAB_TEACH, id="teach"):
                teach = draw_teach_panel(session.engine.cannot_teach)
            with gr.Tab(words.TAB_LESSONS, id="lessons"):
                lessons = draw_lessons_panel()
            with gr.Tab(words.TAB_VERSIONS, id="versions"):
                history = draw_versions_panel()
                proof = draw_proof_panel()
            with gr.Tab(words.TAB_ARENA, id="arena"):
                arena = draw_arena_panel()
            with gr.Tab(words.TAB_EXPORT, id="export"):
                export = draw_export_panel()
            with gr.Tab(words.TAB_MODELS, id="models") as models_tab:
                models = draw_models_panel()
        # Pressed by keyboard shortcuts only (assets/shortcuts.js).
        stop = gr.Button("Stop", elem_id="chat-stop", visible="hidden")
        chats = ChatEvents(session, chat_id, side, chat, kept)
        chats.wire(page, stop)
        settings = SettingsEvents(Presets(session.engine.paths.home / "presets.json"), chat.settings, chats.keeping)
        settings.wire()
        knowledge = Knowledge(session, side, chat, lessons, history, arena, export, teach, spoken)
        TeachEvents(session, chat_id, tabs, chat, teach, spoken, lessons.thorough, knowledge).wire(page)
        LessonsEvents(session, tabs, lessons, teach, knowledge).wire()
        VersionsEvents(session, history, knowledge, tabs, chat.settings.version, chats.keeping).wire()
        ProofEvents(session, proof).wire()
        ArenaEvents(session, arena).wire()
        ExportEvents(session, export, knowledge).wire()
        shelf = ModelsEvents(session, models)
        shelf.wire()
        models_tab.select(shelf.table, None, models.table, **QUICK)
        page.load(**knowledge.after)
        page.load(settings.choices, None, chat.settings.preset, **QUICK)
    return page
