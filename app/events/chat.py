"""What happens in the chat: say, answer, stop, retry, edit, branches, conversations."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import gradio as gr

from app import words
from app.answering import Run
from app.events.common import AT_ONCE, QUICK, SECONDS_SHOWN, STREAM, explained, tab_of
from app.panels.chat import ChatPanel, Sidebar
from app.present.chat import chat_marks, chat_messages, last_stats, meter, parts_of
from app.presets import preset_of
from app.session import Session
from qfcore.errors import QFError

TABS_REMEMBERED = 256
"""Browser tabs whose shown conversation is known; a forgotten one stops following until it chooses again."""
_DOWNLOAD = """(file) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([file.content], { type: "text/plain;charset=utf-8" }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}"""
SECONDS_TO_LET_GO = 2
"""How long a tab that turns to another conversation waits until the answer it followed has drawn for the last time."""


class ChatEvents:
    """Handlers of the chat panel and the list of conversations; all return values of `outputs`."""

    def __init__(self, session: Session, chat_id: gr.State, side: Sidebar, chat: ChatPanel, kept: gr.BrowserState) -> None:
        self._session, self._chat_id, self._side, self._chat, self._kept = session, chat_id, side, chat, kept
        self._file = gr.JSON(visible="hidden", elem_id="chat-file")
        self._looking: dict[str, int | None] = {}
        self._drawing: dict[str, threading.Event] = {}
        self.outputs = [
            chat_id, chat.messages, chat.meter, side.chats, side.title, chat.branches, chat.position, chat.box, chat.marks,
        ]  # fmt: skip

    def wire(self, stop: gr.Button) -> None:
        """Connect every control. Each event that shows a conversation then follows the answer in progress there."""
        chat, side, outputs, chosen = self._chat, self._side, self.outputs, self._chat_id
        inputs = [chosen, side.search]
        settings = [chat.settings.version, *chat.settings.values]
        answer = {"fn": self.answer, "inputs": [*inputs, *settings], "outputs": outputs, **STREAM}
        follow = {"fn": self.follow, "inputs": inputs, "outputs": outputs, **STREAM}
        chat.box.submit(explained(self.say), [chat.box, *inputs], [chat.box, *outputs], **QUICK).success(**answer)
        chat.messages.retry(explained(self.retry), inputs, outputs, **QUICK).success(**answer)
        chat.messages.edit(explained(self.edit), inputs, outputs, **QUICK).success(**answer)
        chat.box.stop(self.stop, chosen, **AT_ONCE)
        stop.click(self.stop, chosen, **AT_ONCE)
        chat.previous.click(explained(self.previous), inputs, outputs, **QUICK)
        chat.next.click(explained(self.next), inputs, outputs, **QUICK)
        side.new.click(self.new, side.search, outputs, **QUICK)
        side.chats.input(explained(self.show), [side.chats, side.search], outputs, **QUICK).success(**follow)
        side.search.change(self.find, inputs, side.chats, trigger_mode="always_last", **QUICK)
        side.rename.click(explained(self.rename), [chosen, side.title, side.search], outputs, **QUICK)
        confirm = f"(...a) => {{ if (!confirm({words.DELETE_CONFIRM!r})) throw new Error('kept'); return a; }}"
        side.delete.click(explained(self.delete), inputs, outputs, js=confirm, **QUICK)
        side.file.upload(explained(self.bring_back), [side.file, side.search], outputs, **QUICK)
        for button, form in ((side.as_markdown, "md"), (side.as_json, "json")):
            button.click(explained(partial(self.keep_as_file, form)), chosen, self._file, **QUICK).success(
                None, self._file, None, js=_DOWNLOAD
            )
        chosen.change(lambda chat_id: chat_id, chosen, self._kept, **QUICK)

    def show(self, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Show a conversation in this tab."""
        tab = tab_of(request)
        self._looking.pop(tab, None)
        self._looking[tab] = chosen
        while len(self._looking) > TABS_REMEMBERED:
            self._looking.pop(next(iter(self._looking)), None)
        if ended := self._drawing.get(tab):
            ended.wait(SECONDS_TO_LET_GO)
        return self._view(chosen, search)

    def _view(self, chosen: int | None, search: str | None) -> tuple:
        """A conversation as it is stored; while it is being answered, the box offers to stop."""
        run = self._session.answering.run(chosen)
        path = self._session.path(chosen)
        chats, title = self._list(chosen, search)
        which, of = self._session.alternatives(path)
        messages = chat_messages(path)
        return (
            chosen, _growing(messages, run.said) if run else messages, meter(last_stats(path)), chats, title,
            gr.Row(visible=of > 1 and not run), f"{which} / {of}", gr.Textbox(submit_btn=not run, stop_btn=bool(run)),
            chat_marks(path),
        )  # fmt: skip

    def _list(self, chosen: int | None, search: str | None) -> tuple[gr.Radio, str]:
        """Conversations that contain a text, and the title of the chosen one when it is among them."""
        choices = self._session.chats(search or "")
        title = next((label for label, value in choices if value == chosen), "")
        return gr.Radio(choices=choices, value=chosen if title else None), title

    def find(self, chosen: int | None, search: str | None) -> gr.Radio:
        """Conversations that contain a text."""
        return self._list(chosen, search)[0]

    def new(self, search: str | None, request: gr.Request) -> tuple:
        """An empty conversation; it is stored with its first message."""
        return self.show(None, search, request)

    def begin(self, kept: int | None, search: str | None, request: gr.Request) -> tuple:
        """When the page is loaded: the conversation that this browser showed last, if it is still there."""
        try:
            return self.show(self._session.chat_or_none(kept), search, request)
        except QFError:
            return self.show(None, search, request)

    def keep_as_file(self, form: str, chosen: int | None) -> dict:
        """A conversation as a file; the browser saves it, so nothing is left on the disk here."""
        name, content = self._session.export_chat(chosen, form)
        return {"name": name, "content": content}

    def bring_back(self, path: str | None, search: str | None, request: gr.Request) -> tuple:
        """Add a conversation from a file, and show it."""
        content = Path(path).read_text(encoding="utf-8", errors="replace") if path else ""
        return self.show(self._session.import_chat(content), search, request)

    def say(self, text: str | None, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Store a message."""
        if not (text or "").strip():
            return text, *self._view(chosen, search)
        return "", *self.show(self._session.say(chosen, text), search, request)

    def answer(
        self, chosen: int | None, search: str | None, version: str | int | None, system: str | None,
        temperature: float | None, tokens: float | None, top_p: float | None, top_k: float | None, repeat: float | None,
        seed: float | None, think: bool | None, request: gr.Request,
    ) -> Iterator[tuple]:  # fmt: skip
        """Begin to answer the last message, if it waits for an answer, and follow it."""
        if chosen:
            try:
                preset = preset_of(system, temperature, tokens, top_p, top_k, repeat, seed, think)
                run = self._session.answer(
                    chosen, system=preset.system, sampling=preset.sampling, version=version, think=preset.think
                )
                yield from self._follow(run, chosen, search, tab_of(request))
            except QFError as error:
                gr.Warning(str(error), duration=SECONDS_SHOWN)

    def follow(self, chosen: int | None, search: str | None, request: gr.Request) -> Iterator[tuple]:
        """Show the answer in progress of the conversation that this tab turned to."""
        if run := self._session.answering.run(chosen):
            yield from self._follow(run, chosen, search, tab_of(request))

    def _follow(self, run: Run | None, chosen: int, search: str | None, tab: str) -> Iterator[tuple]:
        """Draw the answer as it grows, as long as this tab shows its conversation."""
        if self._looking.get(tab) != chosen:
            return
        ended = self._drawing[tab] = threading.Event()
        try:
            if run:
                yield self._view(chosen, search)
                yield from self._grow(run, chosen, tab)
            # Gradio draws the last value once more when a generator ends: it must not be one of a conversation left behind.
            yield self._view(chosen, search) if self._looking.get(tab) == chosen else self._nothing()
        finally:
            ended.set()
            if self._drawing.get(tab) is ended:
                del self._drawing[tab]

    def _grow(self, run: Run, chosen: int, tab: str) -> Iterator[tuple]:
        shown = chat_messages(self._session.path(chosen))
        try:
            for said in run.follow(lambda: self._looking.get(tab) == chosen):
                yield gr.skip(), _growing(shown, said), *self._nothing()[2:]
        except QFError as error:
            gr.Warning(str(error), duration=SECONDS_SHOWN)

    def _nothing(self) -> tuple:
        return (gr.skip(),) * len(self.outputs)

    def stop(self, chosen: int | None) -> None:
        """End the answer in progress; what was said is kept."""
        self._session.answering.stop(chosen)

    def retry(self, chosen: int | None, search: str | None) -> tuple:
        """Answer again; the old answer is kept as an alternative."""
        if chosen:
            self._session.back_to_question(chosen)
        return self._view(chosen, search)

    def edit(self, chosen: int | None, search: str | None, data: gr.EditData) -> tuple:
        """Say something else; the old branch is kept."""
        index = data.index if isinstance(data.index, int) else data.index[0]
        self._session.edit(chosen, index, str(data.value))
        return self._view(chosen, search)

    def previous(self, chosen: int | None, search: str | None) -> tuple:
        """Show the alternative before."""
        self._session.turn(chosen, -1)
        return self._view(chosen, search)

    def next(self, chosen: int | None, search: str | None) -> tuple:
        """Show the alternative after."""
        self._session.turn(chosen, 1)
        return self._view(chosen, search)

    def rename(self, chosen: int | None, title: str | None, search: str | None) -> tuple:
        """Give the conversation another title."""
        if chosen and (title or "").strip():
            self._session.engine.store.chats.rename(chosen, title.strip())
        return self._view(chosen, search)

    def delete(self, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Delete the conversation."""
        if chosen:
            self._session.delete(chosen)
        return self.show(None, search, request)


def _growing(shown: list[dict], said: str) -> list[dict]:
    return [*shown, *parts_of("assistant", said, growing=True)]
