"""The page: panels in order and which handler answers which event. The only file that wires."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from app import present, words
from app.chat_panel import ChatPanel, Sidebar, draw_chat_panel, draw_sidebar
from app.export_panel import ExportPanel, draw_export_panel
from app.session import Session
from app.teach_panel import TeachPanel, draw_teach_panel
from app.versions_panel import VersionsPanel, draw_versions_panel
from qfcore.errors import QFError

_QUIET = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
# Must act while the queue is busy. Not for handlers that may fail: Gradio shows no message for events outside the queue.
_AT_ONCE = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
_WORK = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}


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
        with gr.Row(elem_id="hidden-buttons"):
            stop = gr.Button("Stop", elem_id="chat-stop", visible="hidden")
            help_button = gr.Button("Help", elem_id="help-button", visible="hidden")
        help_button.click(lambda: gr.Info(words.HELP, duration=8), **_QUIET)
        _wire_chat(session, chat_id, side, chat, stop)
        knowledge = _Knowledge(session, side, history, export)
        _wire_teach(session, teach, knowledge)
        _wire_versions(session, history, knowledge)
        _wire_export(session, export)
        page.load(lambda: _show_chat(session, None), None, _chat_outputs(chat_id, side, chat), **_QUIET)
        page.load(knowledge.values, None, knowledge.outputs, **_QUIET)
    return page


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except QFError as error:
        raise gr.Error(str(error), duration=12, print_exception=False) from error


def _guarded(function: Callable) -> Callable:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        with _explained():
            return function(*arguments)

    return wrapper


# -- chat -------------------------------------------------------------------------------------------------------


def _chat_outputs(chat_id: gr.State, side: Sidebar, chat: ChatPanel) -> list:
    return [chat_id, chat.messages, chat.meter, side.chats, side.title, chat.branches, chat.position, chat.box]


def _show_chat(session: Session, chat_id: int | None, search: str = "", *, busy: bool = False) -> tuple:
    choices = session.chats(search)
    known = {value for _, value in choices}
    which, of = session.alternatives(chat_id)
    title = next((label for label, value in choices if value == chat_id), "")
    box = gr.Textbox(submit_btn=not busy, stop_btn=busy)
    return (
        chat_id, present.chat_messages(session.path(chat_id)), present.meter(session.last_stats(chat_id)),
        gr.Radio(choices=choices, value=chat_id if chat_id in known else None), title,
        gr.Row(visible=of > 1 and not busy), f"{which} / {of}", box,
    )  # fmt: skip


def _wire_chat(session: Session, chat_id: gr.State, side: Sidebar, chat: ChatPanel, stop: gr.Button) -> None:
    outputs = _chat_outputs(chat_id, side, chat)
    settings = [chat.system, chat.temperature, chat.max_tokens]

    def show(chosen: int | None, search: str) -> tuple:
        return _show_chat(session, chosen, search)

    @_guarded
    def say(text: str, chosen: int | None) -> tuple:
        if not text.strip():
            return ("", *_show_chat(session, chosen))
        return ("", *_show_chat(session, session.say(chosen, text), busy=True))

    def answer(chosen: int | None, system: str, temperature: float, tokens: float, request: gr.Request) -> Iterator[tuple]:
        path = session.path(chosen)
        if not path or path[-1].role != "user":
            yield _show_chat(session, chosen)
            return
        shown = present.chat_messages(path)
        keep = gr.skip()
        try:
            yield keep, [*shown, {"role": "assistant", "content": words.READING}], *[keep] * 6
            for text, stats in session.answer(
                chosen, request.session_hash or "", system=system, temperature=temperature, max_tokens=int(tokens)
            ):
                if stats is None:
                    yield keep, [*shown, {"role": "assistant", "content": text}], *[keep] * 6
        except QFError as error:
            gr.Warning(str(error), duration=12)
        yield _show_chat(session, chosen)

    @_guarded
    def retry(chosen: int | None) -> tuple:
        if chosen:
            session.back_to_question(chosen)
        return _show_chat(session, chosen, busy=True)

    @_guarded
    def edit(chosen: int | None, data: gr.EditData) -> tuple:
        session.edit(chosen, data.index if isinstance(data.index, int) else data.index[0], str(data.value))
        return _show_chat(session, chosen, busy=True)

    def turn(step: int, chosen: int | None) -> tuple:
        session.turn(chosen, step)
        return _show_chat(session, chosen)

    def stop_answer(request: gr.Request) -> None:
        session.stop(request.session_hash or "")

    @_guarded
    def rename(chosen: int | None, title: str, search: str) -> tuple:
        if chosen and title.strip():
            session.engine.store.chats.rename(chosen, title.strip())
        return _show_chat(session, chosen, search)

    @_guarded
    def delete(chosen: int | None, search: str) -> tuple:
        if chosen:
            session.engine.store.chats.delete(chosen)
        return _show_chat(session, None, search)

    then = functools.partial(dict, fn=answer, inputs=[chat_id, *settings], outputs=outputs, **_WORK)
    chat.box.submit(say, [chat.box, chat_id], [chat.box, *outputs], **_QUIET).success(**then())
    chat.messages.retry(retry, chat_id, outputs, **_QUIET).success(**then())
    chat.messages.edit(edit, chat_id, outputs, **_QUIET).success(**then())
    chat.box.stop(stop_answer, **_AT_ONCE)
    stop.click(stop_answer, **_AT_ONCE)
    chat.previous.click(functools.partial(turn, -1), chat_id, outputs, **_QUIET)
    chat.next.click(functools.partial(turn, 1), chat_id, outputs, **_QUIET)
    side.new.click(lambda search: _show_chat(session, None, search), side.search, outputs, **_QUIET)
    side.chats.input(_guarded(show), [side.chats, side.search], outputs, **_QUIET)
    side.search.change(show, [chat_id, side.search], outputs, trigger_mode="always_last", **_QUIET)
    side.rename.click(rename, [chat_id, side.title, side.search], outputs, **_QUIET)
    confirm = f"(...a) => {{ if (!confirm({words.DELETE_CONFIRM!r})) throw new Error('kept'); return a; }}"
    side.delete.click(delete, [chat_id, side.search], outputs, js=confirm, **_QUIET)


# -- knowledge --------------------------------------------------------------------------------------------------


class _Knowledge:
    """What every panel shows of the knowledge, drawn again after each change."""

    def __init__(self, session: Session, side: Sidebar, history: VersionsPanel, export: ExportPanel) -> None:
        self._session = session
        self.outputs = [
            side.badge, history.timeline, history.version, history.knows, history.lesson, export.version, export.path,
        ]  # fmt: skip

    def values(self) -> tuple:
        """Values of `outputs`."""
        session, store = self._session, self._session.engine.store
        live = store.live()
        records = store.lessons(live)
        choices = session.version_choices()
        lessons = present.lesson_choices(records)
        return (
            present.badge(session.engine.status()), session.timeline(), gr.Dropdown(choices, value=live.number),
            present.lesson_list(records), gr.Dropdown(lessons, value=lessons[0][1] if lessons else None),
            gr.Dropdown(choices, value=live.number),
            str(session.engine.paths.exports / f"{store.model.name.split(' (')[0].replace(' ', '-')}-v{live.number}.gguf"),
        )  # fmt: skip


def _wire_teach(session: Session, teach: TeachPanel, knowledge: _Knowledge) -> None:
    outputs = [teach.number, teach.report, teach.apply, teach.stop, teach.status, teach.chip, teach.undo]

    @_guarded
    def begin(text: str, question: str, replaces: list[str]) -> tuple:
        found = session.conflicts(text, question)
        chosen = [i for _, i in found if i in (replaces or [])] if replaces else [i for _, i in found]
        return gr.CheckboxGroup(choices=found, value=chosen, visible=bool(found)), gr.Button(interactive=True)

    def preview(
        text: str, question: str, answer: str, method: str, replaces: list[str], request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> tuple:  # fmt: skip
        tab = request.session_hash or ""
        try:
            number, made = session.preview(
                text, question, answer, method, tab, list(replaces or []), lambda f, t: progress(f, desc=t)
            )
        except QFError as error:
            gr.Warning(str(error), duration=12)
            off = gr.Button(interactive=False)
            return None, words.NO_REPORT, off, off, str(error), "", gr.skip()
        note = "" if made.report.learned else words.NOT_LEARNED
        return (
            number, present.report_card(made.report), gr.Button(interactive=True), gr.Button(interactive=False), note, "",
            gr.Button(visible=False),
        )  # fmt: skip

    @_guarded
    def apply(number: int | None) -> tuple:
        version = session.apply(number)
        text = words.LEARNED_CHIP.format(number=version.number)
        return (None, gr.Button(interactive=False), present.chip(text), gr.Button(visible=True), *knowledge.values())

    @_guarded
    def undo() -> tuple:
        version = session.engine.undo()
        text = words.UNDONE.format(number=version.number)
        return (present.chip(text), gr.Button(visible=False), *knowledge.values())

    fields = [teach.fact, teach.question, teach.answer, teach.method, teach.replaces]
    shown = {"show_progress_on": [teach.report], "api_visibility": "private", "concurrency_limit": 1}
    started = teach.preview.click(
        begin, [teach.fact, teach.question, teach.replaces], [teach.replaces, teach.stop], **_QUIET
    )
    started.success(preview, fields, outputs, **shown)
    teach.stop.click(_canceller(session), **_AT_ONCE)
    teach.apply.click(apply, teach.number, [teach.number, teach.apply, teach.chip, teach.undo, *knowledge.outputs], **_WORK)
    teach.undo.click(undo, None, [teach.chip, teach.undo, *knowledge.outputs], **_WORK)


def _canceller(session: Session) -> Callable:
    def cancel(request: gr.Request) -> None:
        session.cancel_teaching(request.session_hash or "")

    return cancel


def _wire_versions(session: Session, history: VersionsPanel, knowledge: _Knowledge) -> None:
    @_guarded
    def choose(number: int | None) -> str:
        store = session.engine.store
        return present.lesson_list(store.lessons(store.version("live" if number is None else number)))

    @_guarded
    def restore(number: int | None) -> tuple:
        version = session.engine.restore("live" if number is None else number)
        return (present.chip(words.RESTORED.format(number=version.number, old=number)), *knowledge.values())

    @_guarded
    def forget(lesson: str | None) -> tuple:
        version = session.engine.forget(lesson or "")
        return (present.chip(words.FORGOTTEN.format(number=version.number)), *knowledge.values())

    history.version.change(choose, history.version, history.knows, **_QUIET)
    history.restore.click(restore, history.version, [history.chip, *knowledge.outputs], **_WORK)
    history.forget.click(forget, history.lesson, [history.chip, *knowledge.outputs], **_WORK)


def _wire_export(session: Session, export: ExportPanel) -> None:
    @_guarded
    def write(
        kind: str, version: int, path: str, progress: gr.Progress = gr.Progress()  # noqa: B008 - as above
    ) -> str:
        done = session.export(kind, version, path, lambda f, t: progress(f, desc=t))
        return words.EXPORTED.format(path=done["path"], megabytes=done["bytes"] / 1e6)

    export.write.click(
        write, [export.kind, export.version, export.path], export.result, api_visibility="private", concurrency_limit=1
    )
