"""What happens in the chat: say, answer, stop, retry, edit, branches, conversations."""

from collections.abc import Iterator

import gradio as gr

from app import present, words
from app.chat_panel import ChatPanel, Sidebar
from app.events import AT_ONCE, QUICK, SECONDS_SHOWN, explained, tab_of
from app.session import Session
from qfcore.errors import QFError


class ChatEvents:
    """Handlers of the chat panel and the list of conversations; all return values of `outputs`."""

    def __init__(self, session: Session, chat_id: gr.State, side: Sidebar, chat: ChatPanel) -> None:
        self._session, self._chat_id, self._side, self._chat = session, chat_id, side, chat
        self.outputs = [
            chat_id, chat.messages, chat.meter, side.chats, side.title, chat.branches, chat.position, chat.box,
        ]  # fmt: skip

    def wire(self, stop: gr.Button) -> None:
        """Connect every control."""
        chat, side, outputs, chosen = self._chat, self._side, self.outputs, self._chat_id
        answer = {"fn": self.answer, "inputs": [chosen, chat.system, chat.temperature, chat.max_tokens], "outputs": outputs}
        chat.box.submit(explained(self.say), [chat.box, chosen], [chat.box, *outputs], **QUICK).success(**answer, **QUICK)
        chat.messages.retry(explained(self.retry), chosen, outputs, **QUICK).success(**answer, **QUICK)
        # Gradio passes the edit's data by the parameter's annotation, so this handler is wired as it is.
        chat.messages.edit(self.edit, chosen, outputs, **QUICK).success(**answer, **QUICK)
        chat.box.stop(self.stop, **AT_ONCE)
        stop.click(self.stop, **AT_ONCE)
        chat.previous.click(explained(self.previous), chosen, outputs, **QUICK)
        chat.next.click(explained(self.next), chosen, outputs, **QUICK)
        side.new.click(self.new, side.search, outputs, **QUICK)
        side.chats.input(explained(self.show), [side.chats, side.search], outputs, **QUICK)
        side.search.change(explained(self.show), [chosen, side.search], outputs, trigger_mode="always_last", **QUICK)
        side.rename.click(explained(self.rename), [chosen, side.title, side.search], outputs, **QUICK)
        confirm = f"(...a) => {{ if (!confirm({words.DELETE_CONFIRM!r})) throw new Error('kept'); return a; }}"
        side.delete.click(explained(self.delete), [chosen, side.search], outputs, js=confirm, **QUICK)

    def show(self, chosen: int | None, search: str | None = "", *, busy: bool = False) -> tuple:
        """A conversation as it is stored; while busy, the box offers to stop."""
        session = self._session
        choices = session.chats(search or "")
        title = next((label for label, value in choices if value == chosen), "")
        which, of = session.alternatives(chosen)
        return (
            chosen, present.chat_messages(session.path(chosen)), present.meter(session.last_stats(chosen)),
            gr.Radio(choices=choices, value=chosen if title else None), title,
            gr.Row(visible=of > 1 and not busy), f"{which} / {of}", gr.Textbox(submit_btn=not busy, stop_btn=busy),
        )  # fmt: skip

    def new(self, search: str | None) -> tuple:
        """An empty conversation; it is stored with its first message."""
        return self.show(None, search)

    def say(self, text: str | None, chosen: int | None) -> tuple:
        """Store a message."""
        if not (text or "").strip():
            return "", *self.show(chosen)
        return "", *self.show(self._session.say(chosen, text), busy=True)

    def answer(
        self, chosen: int | None, system: str | None, temperature: float, tokens: float, request: gr.Request
    ) -> Iterator[tuple]:
        """Stream the answer to the last message, if it waits for one."""
        path = self._session.path(chosen)
        if path and path[-1].role == "user":
            shown = present.chat_messages(path)
            yield self._growing(shown, words.READING)
            try:
                for text, stats in self._session.answer(
                    chosen, tab_of(request), system=system or "", temperature=temperature, max_tokens=int(tokens)
                ):
                    if stats is None:
                        yield self._growing(shown, text)
            except QFError as error:
                gr.Warning(str(error), duration=SECONDS_SHOWN)
        yield self.show(chosen)

    def _growing(self, shown: list[dict], text: str) -> tuple:
        kept = [gr.skip()] * (len(self.outputs) - 2)
        return gr.skip(), [*shown, {"role": "assistant", "content": text}], *kept

    def stop(self, request: gr.Request) -> None:
        """End the answer in progress."""
        self._session.stop(tab_of(request))

    def retry(self, chosen: int | None) -> tuple:
        """Answer again; the old answer is kept as an alternative."""
        if chosen:
            self._session.back_to_question(chosen)
        return self.show(chosen, busy=True)

    def edit(self, chosen: int | None, data: gr.EditData) -> tuple:
        """Say something else; the old branch is kept."""
        index = data.index if isinstance(data.index, int) else data.index[0]
        self._session.edit(chosen, index, str(data.value))
        return self.show(chosen, busy=True)

    def previous(self, chosen: int | None) -> tuple:
        """Show the alternative before."""
        self._session.turn(chosen, -1)
        return self.show(chosen)

    def next(self, chosen: int | None) -> tuple:
        """Show the alternative after."""
        self._session.turn(chosen, 1)
        return self.show(chosen)

    def rename(self, chosen: int | None, title: str | None, search: str | None) -> tuple:
        """Give the conversation another title."""
        if chosen and (title or "").strip():
            self._session.engine.store.chats.rename(chosen, title.strip())
        return self.show(chosen, search)

    def delete(self, chosen: int | None, search: str | None) -> tuple:
        """Delete the conversation."""
        if chosen:
            self._session.engine.store.chats.delete(chosen)
        return self.show(None, search)
