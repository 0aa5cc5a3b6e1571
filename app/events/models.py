"""What happens in Models: install one, open another one."""

import threading

import gradio as gr

from app import words
from app.events.common import AT_ONCE, ONE, QUICK, explained, tab_of
from app.panels.models import ModelsPanel
from app.present.common import chip, note
from app.present.models import models_table
from app.session import Session
from qfcore.errors import NotFound

_ANSWER_FIRST = 0.5
"""Seconds until the server ends, so that this answer still goes out."""
_COME_BACK = (
    "() => { const told = document.querySelector('#models-result .qf-restarting .qf-progress'); if (!told) return; "
    "let gone = false; const look = async () => { "
    "try { const answer = await fetch('/api/status', { cache: 'no-store' }); if (gone && answer.ok) location.reload(); "
    "if (answer.status === 503) { gone = true; told.textContent = (await answer.json()).preparing; } } "
    "catch { gone = true; } setTimeout(look, 500); }; look(); }"
)
"""Look for the server that begins anew: tell what it says of its start (app/waiting.py), load the page once it is ready."""


class ModelsEvents:
    """Handlers of the models."""

    def __init__(self, session: Session, panel: ModelsPanel) -> None:
        self._session, self._panel = session, panel

    def wire(self) -> None:
        """Connect every control."""
        p = self._panel
        p.install.click(explained(self.install), p.name, [p.result, p.table], show_progress_on=[p.result], **ONE)
        p.stop.click(self.stop, **AT_ONCE)
        p.open.click(explained(self.open), p.name, p.result, **QUICK).success(None, js=_COME_BACK, **QUICK)
        p.table.click(explained(self.act), None, [p.result, p.table], show_progress_on=[p.result], **ONE).success(
            None, js=_COME_BACK, **QUICK
        )

    def table(self) -> str:
        """The models as they are now."""
        return models_table(self._session.shelf.list(), self._session.shelf.is_open)

    def act(
        self, data: gr.EventData, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008 - found by Gradio
    ) -> tuple[str, str]:
        """Do what the pressed button says."""
        name = str(data.model)
        if data.action == "install":
            return self.install(name, request, progress)
        if data.action == "open":
            return self.open(name), self.table()
        raise NotFound(words.NO_ACTION.format(action=data.action))

    def install(
        self, name: str | None, request: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008 - found by Gradio
    ) -> tuple[str, str]:
        """Fetch a model, or look at a file."""
        found = self._session.shelf.install(name or "", tab_of(request), lambda f, t: progress(f, desc=t))
        return chip(words.IS_HERE.format(title=found.title)), self.table()

    def stop(self, request: gr.Request) -> None:
        """End the installing of this tab."""
        self._session.shelf.stop(tab_of(request))

    def open(self, name: str | None) -> str:
        """Remember the model, and begin anew with it."""
        title = self._session.shelf.choose(name or "").title
        restart = self._session.restart
        if not restart.possible:
            return note(words.OPEN_NEXT_TIME.format(title=title))
        threading.Timer(_ANSWER_FIRST, restart.ask).start()
        told = chip(words.OPENING.format(title=title)) + '<p class="qf-progress" role="status"></p>'
        return f'<div class="qf-restarting">{told}</div>'
