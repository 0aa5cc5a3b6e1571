"""What happens in the arena: one question, two versions, one after the other."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import gradio as gr

from app import words
from app.events.common import AT_ONCE, STREAM, tab_of, warn
from app.panels.arena import ArenaPanel
from app.present.chat import meter
from app.session import Session
from app.visible import visible
from qfcore.errors import LessonError, QFError
from qfcore.runtime.protocol import GREEDY, AnswerStats

_GREEDY = replace(GREEDY, max_tokens=512)


@dataclass
class _Round:
    """One question: whether it was stopped, and the event that ends the answer in progress."""

    stopped: bool = False
    answer: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        self.stopped = True
        self.answer.set()


class ArenaEvents:
    """Handlers of the arena."""

    def __init__(self, session: Session, panel: ArenaPanel) -> None:
        self._session, self._panel = session, panel
        self._rounds: dict[str, _Round] = {}

    def wire(self) -> None:
        """Connect every control."""
        p = self._panel
        inputs = [p.question, p.left.version, p.right.version]
        outputs = [p.left.answer, p.left.meter, p.right.answer, p.right.meter]
        for trigger in (p.ask.click, p.question.submit):
            trigger(self.ask, inputs, outputs, **STREAM)
        p.stop.click(self.stop, **AT_ONCE)

    def ask(
        self, question: str | None, left: int | None, right: int | None, request: gr.Request
    ) -> Iterator[tuple[str, str, str, str]]:
        """Stream the left answer, then the right one: one runtime computes both."""
        this = self._rounds[tab_of(request)] = _Round()
        shown = ["", "", "", ""]
        try:
            if not (question or "").strip():
                raise LessonError(words.ARENA_EMPTY)
            messages = [{"role": "user", "content": question}]
            for place, version in ((0, left), (2, right)):
                if this.stopped:
                    return
                text, drawn, this.answer = "", 0, threading.Event()  # a runtime sets the event itself when an answer ends
                for piece in self._session.engine.stream(
                    messages, sampling=_GREEDY, version="live" if version is None else version, stop=this.answer
                ):
                    if isinstance(piece, AnswerStats):
                        shown[place + 1] = meter(piece)
                    elif isinstance(piece, str):
                        text += piece
                        if len(text) - drawn < 12:
                            continue
                    drawn, shown[place] = len(text), visible(text)
                    yield tuple(shown)
                shown[place] = visible(text)
                yield tuple(shown)
        except QFError as error:
            warn(error)
            yield tuple(shown)

    def stop(self, request: gr.Request) -> None:
        """End both answers."""
        if tab_of(request) in self._rounds:
            self._rounds[tab_of(request)].stop()
