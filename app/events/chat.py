"""What happens in the chat: say, answer, stop, retry, edit, branches, conversations.

Each tab has one wish (`app.wishes`): the conversation that it should show. Three rules keep a page right on a machine of
any speed. A view is drawn by the newest wish only. A generator never ends without a value, and never with a view: Gradio
draws None into every output of one that yields nothing, and the last value once more after it ended. And the page asks
every few seconds whether what it shows is what it should (`look`), so that a message that came late, or never, is made good.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import astuple
from functools import partial
from pathlib import Path

import gradio as gr

from app import words
from app.answering import UPDATES_PER_SECOND, Run
from app.events.common import AT_ONCE, QUICK, STREAM, explained, tab_of, warn
from app.panels.chat import ChatPanel, Sidebar
from app.present.chat import (
    chat_messages,
    chat_style,
    first_shown,
    fork_choices,
    fork_text,
    growing_meter,
    last_stats,
    meter,
    parts_of,
)
from app.present.history import version_choices
from app.presets import from_settings, preset_of, settings_of
from app.session import Session
from app.wishes import Wish, Wishes, chat_drawn, first_drawn, stamp
from qfcore.errors import NotFound, QFError
from qfcore.store.records import Message

_DOWNLOAD = """(file) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([file.content], { type: "text/plain;charset=utf-8" }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}"""
_CONFIRMED = "(...values) => { if (!confirm(QUESTION)) throw new Error('kept'); return values; }"
_SEND = "(...values) => { window.qfSent = values[0]; return values; }"
_SENT = """(now) => {  // what was sent leaves the box; what was typed since then stays
  return now.startsWith(window.qfSent) ? now.slice(window.qfSent.length) : now;
}"""
_KEEP = """(drawn) => {
  sessionStorage.setItem("qfchat-chat", JSON.stringify(drawn));
  return drawn;
}"""
_KEPT = """(kept, search) => {
  const own = sessionStorage.getItem("qfchat-chat");
  return [own === null ? kept : JSON.parse(own), search];
}"""
SECONDS_PER_MESSAGE = 1 / 1000
"""What each message of a conversation adds to the time between two drawings: the server looks at all of them each time."""


class ChatEvents:
    """Handlers of the chat panel and the list of conversations; what shows a conversation returns values of `outputs`."""

    def __init__(self, session: Session, chat_id: gr.State, side: Sidebar, chat: ChatPanel, kept: gr.BrowserState) -> None:
        self._session, self._chat_id, self._side, self._chat, self._kept = session, chat_id, side, chat, kept
        self._file = gr.JSON(visible="hidden", elem_id="chat-file")
        self._wake, self._calls = gr.State(0), itertools.count(1)
        self._wishes = Wishes()
        self.outputs = [
            chat_id, chat.messages, chat.meter, side.chats, side.title, chat.position, chat.fork, chat.style, chat.drawn,
            chat.earlier, chat.settings.version, *chat.settings.values,
        ]  # fmt: skip

    def wire(self, page: gr.Blocks, stop: gr.Button) -> None:
        """Connect every control. Each event that shows a conversation then follows the answer in progress there."""
        chat, side, outputs, chosen = self._chat, self._side, self.outputs, self._chat_id
        inputs = [chosen, side.search]
        settings = [chat.settings.version, *chat.settings.values]
        answer = {"fn": self.answer, "inputs": [*inputs, *settings], "outputs": outputs, **STREAM}
        follow = {"fn": self.follow, "inputs": inputs, "outputs": outputs, **STREAM}
        page.load(self.begin, [self._kept, side.search], outputs, js=_KEPT, **QUICK).success(**follow)
        sent = chat.box.submit(explained(self.say), [chat.box, *inputs], outputs, js=_SEND, **QUICK)
        sent.success(None, chat.box, chat.box, js=_SENT)
        sent.success(**answer)
        chat.messages.retry(explained(self.retry), inputs, outputs, **QUICK).success(**answer)
        chat.messages.edit(explained(self.edit), [chat.drawn, *inputs], outputs, **QUICK).success(**answer)
        chat.earlier.click(explained(self.show_earlier), inputs, outputs, **QUICK).success(**follow)
        chat.again.click(**answer)
        chat.go_on.click(**{**answer, "fn": self.go_on})
        chat.box.stop(self.stop, chosen, **AT_ONCE)
        stop.click(self.stop, chosen, **AT_ONCE)
        chat.previous.click(explained(self.previous), [chat.fork, *inputs], outputs, **QUICK)
        chat.next.click(explained(self.next), [chat.fork, *inputs], outputs, **QUICK)
        chat.fork.input(self.at_fork, [chat.fork, chosen], chat.position, **QUICK)
        side.new.click(self.new, side.search, outputs, **QUICK)
        side.chats.input(explained(self.show), [side.chats, side.search], outputs, **QUICK).success(**follow)
        side.search.change(self.find, inputs, side.chats, trigger_mode="always_last", **QUICK)
        side.rename.click(explained(self.rename), [chosen, side.title, side.search], outputs, **QUICK)
        confirmed = _CONFIRMED.replace("QUESTION", json.dumps(words.DELETE_CONFIRM))
        side.delete.click(explained(self.delete), inputs, outputs, js=confirmed, **QUICK)
        side.file.upload(explained(self.bring_back), [side.file, side.search], outputs, **QUICK)
        for button, form in ((side.as_markdown, "md"), (side.as_json, "json")):
            button.click(explained(partial(self.keep_as_file, form)), chosen, self._file, **QUICK).success(
                None, self._file, None, js=_DOWNLOAD
            )
        chat.drawn.change(None, chat.drawn, self._kept, js=_KEEP)
        chat.watch.click(self.look, chat.drawn, self._wake, **QUICK)
        self._wake.change(self.resume, side.search, outputs, **STREAM)
        side.refresh.click(self.find, inputs, side.chats, **QUICK)  # other tabs may have changed them
        self._wire_settings(settings)

    @property
    def keeping(self) -> dict:
        """Keeps the settings with the conversation: for events that set controls, which `input` does not tell."""
        settings = self._chat.settings
        return {"fn": self.keep_settings, "inputs": [self._chat_id, settings.version, *settings.values], **QUICK}

    def _wire_settings(self, controls: list) -> None:
        """Keep what a person sets with the conversation, also when nothing is asked afterwards."""
        for control in controls:
            changed = control.blur if control is self._chat.settings.system else control.input
            changed(self.keep_settings, [self._chat_id, *controls], None, trigger_mode="always_last", **QUICK)

    # -- what a tab shows ---------------------------------------------------------------------------------------

    def show(self, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Show a conversation in this tab, with its settings."""
        return self._draw(chosen, search, tab_of(request), settings=True)

    def show_earlier(self, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Show more of a long conversation in this tab."""
        wish = self._wishes.get(tab_of(request))
        return self._draw(chosen, search, tab_of(request), earlier=1 + (wish.earlier if wish else 0))

    def _draw(
        self, chosen: int | None, search: str | None, tab: str, *, settings: bool = False, fork: int | None = None,
        asked: bool = False, earlier: int = 0,
    ) -> tuple:  # fmt: skip
        """Make a conversation this tab's wish, and draw it unless a newer wish came meanwhile."""
        wish = self._wishes.want(tab, chosen, earlier)
        view = self._view(wish, search, settings=settings, fork=fork, asked=asked)
        return view if self._wishes.get(tab) is wish else self._nothing()

    def _view(
        self, wish: Wish, search: str | None, *, settings: bool = False, fork: int | None = None, asked: bool = False
    ) -> tuple:
        """A conversation as it is stored; while it is being answered, the box offers to stop.

        settings: with those of the conversation. fork: whose alternatives are offered. asked: the answer begins at once.
        """
        chosen = wish.chosen
        run = self._session.answering.run(chosen)
        path = self._session.path(chosen)
        chats, title = self._list(chosen, search)
        first = first_shown(path, wish.earlier)
        messages = chat_messages(path[first:])
        forks, *branches = self._branches(path, fork)
        style = chat_style(path[first:], busy=bool(run), forks=forks, earlier=first > 0, asked=asked)
        return (
            chosen, _growing(messages, run.said) if run else messages, meter(last_stats(path)), chats, title,
            *branches, style, self._stamp(chosen, path, first, busy=bool(run)), words.EARLIER.format(count=first),
            *self._settings(chosen, settings),
        )  # fmt: skip

    def _stamp(self, chosen: int | None, path: list[Message], first: int, *, busy: bool) -> str:
        return stamp(chosen, path, first, busy, self._session.engine.store.model.sha256)

    def _shown(self, drawn: object) -> int | None:
        """The conversation that a page shows by its stamp, if it is one of this model's and still there."""
        return self._session.chat_or_none(chat_drawn(drawn, self._session.engine.store.model.sha256))

    def _branches(self, path: list[Message], chosen: int | None) -> tuple[int, str, gr.Dropdown]:
        """How many forks there are, and position and choice of them."""
        forks = {fork.position: fork for fork in self._session.forks(path)}
        fork = forks.get(chosen, next(reversed(forks.values()), None))
        choice = gr.Dropdown(choices=fork_choices(path, list(forks)), value=fork.position if fork else None)
        return len(forks), fork_text(path, fork), choice

    def _settings(self, chosen: int | None, wanted: bool) -> tuple:
        """The conversation's settings when wanted; a new one has those of before, but the live version answers it."""
        if not chosen or not wanted:
            return "live" if wanted else gr.skip(), *(gr.skip() for _ in self._chat.settings.values)
        store = self._session.engine.store
        version, preset = from_settings(store.chats.get(chosen).settings)
        choices = [(words.LIVE, "live"), *version_choices(store.versions(), store.live().number)]
        known = version if version in {value for _, value in choices} else "live"
        return gr.Dropdown(choices=choices, value=known), *astuple(preset)

    def _nothing(self) -> tuple:
        return (gr.skip(),) * len(self.outputs)

    def _list(self, chosen: int | None, search: str | None) -> tuple[gr.Radio, str]:
        """Conversations that contain a text, and the title of the chosen one when it is among them."""
        choices = self._session.chats(search or "")
        title = next((label for label, value in choices if value == chosen), "")
        return gr.Radio(choices=choices, value=chosen if title else None), title

    def look(self, drawn: str | None, request: gr.Request) -> object:
        """Whether the page shows what it should; if not, wake `resume`. Asked by the page every few seconds."""
        wish = self._wishes.get(tab_of(request))
        if wish is None and drawn:  # this program began under an open page, which goes on with what it shows
            self._wishes.want(tab_of(request), self._shown(drawn))
            return next(self._calls)
        if wish is None or wish.drawing:
            return gr.skip()
        try:
            path = self._session.path(wish.chosen)
            right = drawn == self._stamp(wish.chosen, path, first_shown(path, wish.earlier), busy=False)
        except NotFound:  # deleted in another tab
            right = False
        busy = self._session.answering.run(wish.chosen)
        return gr.skip() if right and not busy else next(self._calls)

    def resume(self, search: str | None, request: gr.Request) -> Iterator[tuple]:
        """Draw what this tab should show, and follow the answer in progress there."""
        tab = tab_of(request)
        wish = self._wishes.get(tab)
        if wish and not wish.drawing:
            if (chosen := self._session.chat_or_none(wish.chosen)) != wish.chosen:
                wish = self._wishes.want(tab, chosen)
            yield self._view(wish, search)
            if run := self._session.answering.run(chosen):
                yield from self._follow(run, chosen, search, tab)
        yield self._nothing()

    def find(self, chosen: int | None, search: str | None) -> gr.Radio:
        """Conversations that contain a text."""
        return self._list(chosen, search)[0]

    def new(self, search: str | None, request: gr.Request) -> tuple:
        """An empty conversation, with the settings of the one before; it is stored with its first message.

        The live version answers it: an old one that went over unnoticed would seem not to have learned.
        """
        return self._draw(None, search, tab_of(request), settings=True)

    def begin(self, kept: str | None, search: str | None, request: gr.Request) -> tuple:
        """When the page is loaded: the conversation that this tab, else this browser, showed last, if it is still there.

        kept: the stamp of what it showed.
        """
        try:
            return self.show(self._shown(kept), search, request)
        except QFError:
            return self.show(None, search, request)

    # -- answers ------------------------------------------------------------------------------------------------

    def say(self, text: str | None, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Store a message."""
        if not (text or "").strip():
            return self._nothing()
        return self._draw(self._session.say(chosen, text), search, tab_of(request), asked=True)

    def answer(
        self, request: gr.Request, chosen: int | None, search: str | None, version: str | int | None, *values: object
    ) -> Iterator[tuple]:
        """Begin to answer the last message, if it waits for an answer, and follow it."""
        yield from self._answered(self._session.answer, chosen, search, version, values, tab_of(request))

    def go_on(
        self, request: gr.Request, chosen: int | None, search: str | None, version: str | int | None, *values: object
    ) -> Iterator[tuple]:
        """Begin to continue an answer that was cut, and follow it."""
        yield from self._answered(self._session.go_on, chosen, search, version, values, tab_of(request))

    def _answered(
        self, begin: Callable[..., Run | None], chosen: int | None, search: str | None, version: str | int | None,
        values: tuple, tab: str,
    ) -> Iterator[tuple]:  # fmt: skip
        run = None
        try:
            if chosen:
                preset = preset_of(*values)
                self._session.engine.store.chats.keep_settings(chosen, settings_of(version, *values))
                run = begin(
                    chosen, system=preset.system, sampling=preset.sampling, version=version, think=preset.think
                )
        except QFError as error:
            warn(error)
        yield from self._follow(run, chosen, search, tab)

    def follow(self, chosen: int | None, search: str | None, request: gr.Request) -> Iterator[tuple]:
        """Show the answer in progress of the conversation that this tab turned to."""
        yield from self._follow(self._session.answering.run(chosen), chosen, search, tab_of(request))

    def _follow(self, run: Run | None, chosen: int | None, search: str | None, tab: str) -> Iterator[tuple]:
        """Draw the answer as it grows, as long as this tab wishes to see it; then the conversation as it is."""
        with self._wishes.drawing(tab, chosen) as wish:
            if wish and run:
                yield self._view(wish, search)
                yield from self._grow(run, wish, lambda: self._wishes.get(tab) is wish)
            if wish and self._wishes.get(tab) is wish:
                yield self._last(wish, search)
            yield self._nothing()

    def _last(self, wish: Wish, search: str | None) -> tuple:
        """The conversation after an answer; nothing when it was deleted meanwhile: then `look` finds it."""
        try:
            return self._view(wish, search)
        except NotFound:
            return self._nothing()

    def _grow(self, run: Run, wish: Wish, wanted: Callable[[], bool]) -> Iterator[tuple]:
        path = self._session.path(wish.chosen)
        shown = chat_messages(path[first_shown(path, wish.earlier) :])
        pause = 1 / UPDATES_PER_SECOND + len(shown) * SECONDS_PER_MESSAGE
        try:
            for said in run.follow(wanted, pause):
                speed = growing_meter(run.tokens, run.tokens_per_s)
                yield gr.skip(), _growing(shown, said), speed, *self._nothing()[3:]
        except QFError as error:
            warn(error)

    def stop(self, chosen: int | None) -> None:
        """End the answer in progress; what was said is kept."""
        self._session.answering.stop(chosen)

    def retry(self, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Answer again; the old answer is kept as an alternative."""
        if chosen:
            self._session.back_to_question(chosen)
        return self._draw(chosen, search, tab_of(request), asked=True)

    def edit(
        self, drawn: str | None, chosen: int | None, search: str | None, data: gr.EditData, request: gr.Request
    ) -> tuple:
        """Say something else; the old branch is kept."""
        index = data.index if isinstance(data.index, int) else data.index[0]
        self._session.edit(chosen, index, str(data.value), first_drawn(drawn))
        return self._draw(chosen, search, tab_of(request), asked=True)

    def previous(self, fork: int | None, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Show the alternative before, at the chosen fork."""
        self._session.turn(chosen, -1, fork)
        return self._draw(chosen, search, tab_of(request), fork=fork)

    def next(self, fork: int | None, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Show the alternative after, at the chosen fork."""
        self._session.turn(chosen, 1, fork)
        return self._draw(chosen, search, tab_of(request), fork=fork)

    def at_fork(self, position: int | None, chosen: int | None) -> str:
        """Which alternative is shown at a fork."""
        path = self._session.path(self._session.chat_or_none(chosen))
        return fork_text(path, next((fork for fork in self._session.forks(path) if fork.position == position), None))

    # -- conversations ------------------------------------------------------------------------------------------

    def keep_settings(self, chosen: int | None, version: str | int | None, *values: object) -> None:
        """Store how a conversation is answered; a new one takes it along with its first question."""
        if self._session.chat_or_none(chosen):
            self._session.engine.store.chats.keep_settings(chosen, settings_of(version, *values))

    def keep_as_file(self, form: str, chosen: int | None) -> dict:
        """A conversation as a file; the browser saves it, so nothing is left on the disk here."""
        name, content = self._session.export_chat(chosen, form)
        return {"name": name, "content": content}

    def bring_back(self, path: str | None, search: str | None, request: gr.Request) -> tuple:
        """Add a conversation from a file, and show it."""
        if not path:
            return self._nothing()
        return self.show(self._session.import_file(Path(path)), search, request)

    def rename(self, chosen: int | None, title: str | None, search: str | None, request: gr.Request) -> tuple:
        """Give the conversation another title."""
        if chosen and (title or "").strip():
            self._session.engine.store.chats.rename(chosen, title.strip())
        return self._draw(chosen, search, tab_of(request))

    def delete(self, chosen: int | None, search: str | None, request: gr.Request) -> tuple:
        """Delete the conversation."""
        if chosen:
            self._session.delete(chosen)
        return self._draw(None, search, tab_of(request))


def _growing(shown: list[dict], said: str) -> list[dict]:
    return [*shown, *parts_of("assistant", said, growing=True)]
