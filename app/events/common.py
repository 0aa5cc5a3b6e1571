"""How events are run, and how errors reach the person: one sentence, no traceback."""

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.present.common import escape
from qfcore.errors import QFError

QUICK: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
"""For handlers that answer at once."""
STREAM: dict[str, Any] = {**QUICK, "concurrency_limit": 16}
"""For handlers that follow an answer: one for each tab that looks."""
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For handlers that must act while the queue is busy, and cannot fail: outside the queue Gradio shows no error."""
ONE: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 1}
"""For work that the model does: one at a time, with Gradio's progress."""
SECONDS_SHOWN = 12


def explained(function: Callable) -> Callable:
    """A QFError becomes a message of the window. Gradio still finds request, edit data and progress by the signature."""

    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except QFError as error:
            raise gr.Error(escape(str(error)), duration=SECONDS_SHOWN, print_exception=False) from error

    return wrapper


def warn(error: QFError) -> None:
    """Tell of an error without ending the event. Gradio draws messages as HTML, and they quote what people wrote."""
    gr.Warning(escape(str(error)), duration=SECONDS_SHOWN)


def tab_of(request: gr.Request) -> str:
    """Name of the browser tab that asks."""
    return request.session_hash or ""
