"""What happens in the arena: one question, two versions, one after the other."""

import threading
from collections.abc import Iterator

import gradio as gr

from app.events.common import AT_ONCE, SECONDS_SHOWN, STREAM, tab_of
from app.panels.arena import ArenaPanel
from app.present.chat import meter
from app.session import Session
from app.visible import visible
from qfcore.errors import LessonError, QFError
from qfcore.runtime.protocol import GREEDY, AnswerStats

_LONGEST = 512


class ArenaEvents:
    """Handlers of the arena."""

    def __init__(self, session: Session, panel: ArenaPanel) -> None:
        self._session, self._panel = session, panel
        self._stops: dict[str, threading.Event] = {}

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
        stop = self._stops[tab_of(request)] = threading.Event()
        shown = ["", "", "", ""]
        try:
            if not (question or "").strip():
                raise LessonError("The question is empty. Write what you want to ask both versions.")
            messages = [{"role": "user", "content": question}]
            for place, version in ((0, left), (2, right)):
                text, drawn = "", 0
                for piece in self._session.engine.stream(
                    messages, sampling=GREEDY_LONG, version="live" if version is None else version, stop=stop
                ):
                    if isinstance(piece, AnswerStats):
                        shown[place + 1] = meter(piece)
                    else:
                        text += piece
                        if len(text) - drawn < 12:
                            continue
                    drawn, shown[place] = len(text), visible(text)
                    yield tuple(shown)
                shown[place] = visible(text)
                yield tuple(shown)
                if stop.is_set():
                    return
        except QFError as error:
            gr.Warning(str(error), duration=SECONDS_SHOWN)
            yield tuple(shown)

    def stop(self, request: gr.Request) -> None:
        """End both answers."""
        if tab_of(request) in self._stops:
            self._stops[tab_of(request)].set()


GREEDY_LONG = GREEDY.__class__(**{**vars(GREEDY), "max_tokens": _LONGEST})
