"""What happens in Export: write a file, take over a bundle."""


import gradio as gr

from app import words
from app.events.common import ONE, QUICK, explained
from app.events.knowledge import Knowledge
from app.lines import form_lines
from app.panels.export import ExportPanel
from app.present.common import chip, count
from app.session import Session
from qfcore.settings import expanded


class ExportEvents:
    """Handlers of the export form."""

    def __init__(self, session: Session, panel: ExportPanel, knowledge: Knowledge) -> None:
        self._session, self._panel, self._knowledge = session, panel, knowledge

    def wire(self) -> None:
        """Connect every control."""
        p = self._panel
        for control in (p.kind, p.version):
            control.change(explained(self.suggest), [p.kind, p.version], p.path, **QUICK)
        p.kind.change(self.fitting, p.kind, [p.form, p.tensor_type, p.max_rank, p.strength], **QUICK)
        asked = [p.kind, p.version, p.path, p.overwrite, p.form, p.tensor_type, p.max_rank, p.strength]
        p.write.click(explained(self.write), asked, p.result, **ONE)
        p.read.click(explained(self.read), [p.bundle, p.reobserve], p.imported, **ONE).success(**self._knowledge.after)

    def suggest(self, kind: str, number: int | None) -> str:
        """Where the file would go."""
        store = self._session.engine.store
        return self._session.desk.export_path(kind, store.version("live" if number is None else number))

    def fitting(self, kind: str) -> tuple[gr.Dropdown, gr.Dropdown, gr.Number, gr.Slider]:
        """The settings that this format has."""
        whole = kind in ("gguf", "ollama")
        return (
            gr.Dropdown(visible=whole), gr.Dropdown(visible=whole), gr.Number(visible=kind == "peft"),
            gr.Slider(visible=kind != "bundle"),
        )  # fmt: skip

    def write(
        self, kind: str, version: int | None, path: str | None, overwrite: bool, form: str, tensor_type: str,
        max_rank: int | None, strength: float, progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> str:  # fmt: skip
        """Export a version to a file."""
        number = self._session.engine.store.version("live" if version is None else version).number
        done = self._session.desk.export(
            kind, number, path or "", lambda f, t: progress(f, desc=t), overwrite=overwrite, form=form,
            tensor_type=tensor_type, max_rank=int(max_rank) if max_rank else None, strength=strength,
        )  # fmt: skip
        wrote = words.EXPORTED.format(path=done["path"], megabytes=done["bytes"] / 1e6)
        return "\n\n".join([wrote, *form_lines(done)])

    def read(
        self, path: str | None, reobserve: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> str:  # fmt: skip
        """Take over a bundle, or teach its lessons anew."""
        where = expanded(path or "")
        if reobserve is True:
            version = self._session.engine.reobserve_bundle(where, on_progress=lambda f, t: progress(f, desc=t))[0]
        else:
            version = self._session.desk.import_bundle(where, lambda f, t: progress(f, desc=t))
        return chip(words.IMPORTED.format(number=version.number, lessons=count(len(version.entries))))
