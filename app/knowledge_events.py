"""What happens in Teach, Versions and Export."""

import gradio as gr

from app import present, words
from app.chat_panel import Sidebar
from app.events import AT_ONCE, QUICK, SECONDS_SHOWN, explained, tab_of
from app.export_panel import ExportPanel
from app.session import Session
from app.teach_panel import TeachPanel
from app.versions_panel import VersionsPanel
from qfcore.errors import QFError

_ONE = {"api_visibility": "private", "concurrency_limit": 1}


class KnowledgeEvents:
    """Handlers of the three panels; `outputs` is what every panel shows of the knowledge."""

    def __init__(
        self, session: Session, side: Sidebar, teach: TeachPanel, history: VersionsPanel, export: ExportPanel
    ) -> None:
        self._session, self._teach, self._history, self._export = session, teach, history, export
        self.outputs = [
            side.badge, history.timeline, history.version, history.knows, history.lesson, export.version, export.path,
        ]  # fmt: skip

    def wire(self) -> None:
        """Connect every control."""
        teach, history, export = self._teach, self._history, self._export
        fields = [teach.fact, teach.question, teach.answer, teach.method, teach.replaces]
        shown = [teach.number, teach.report, teach.apply, teach.stop, teach.status, teach.chip, teach.undo]
        begun = teach.preview.click(
            explained(self.begin), [teach.fact, teach.question, teach.replaces], [teach.replaces, teach.stop], **QUICK
        )
        begun.success(self.preview, fields, shown, show_progress_on=[teach.report], **_ONE)
        teach.stop.click(self.stop, **AT_ONCE)
        applied = [teach.number, teach.apply, teach.chip, teach.undo, *self.outputs]
        teach.apply.click(explained(self.apply), teach.number, applied, **QUICK)
        teach.undo.click(explained(self.undo), None, [teach.chip, teach.undo, *self.outputs], **QUICK)
        history.version.change(explained(self.choose), history.version, history.knows, **QUICK)
        history.restore.click(explained(self.restore), history.version, [history.chip, *self.outputs], **QUICK)
        history.forget.click(explained(self.forget), history.lesson, [history.chip, *self.outputs], **QUICK)
        export.write.click(explained(self.write), [export.kind, export.version, export.path], export.result, **_ONE)

    def values(self) -> tuple:
        """Values of `outputs`, read from the store."""
        session, store = self._session, self._session.engine.store
        live = store.live()
        records = store.lessons(live)
        versions, lessons = session.version_choices(), present.lesson_choices(records)
        return (
            present.badge(session.engine.status()), session.timeline(), gr.Dropdown(versions, value=live.number),
            present.lesson_list(records), gr.Dropdown(lessons, value=lessons[0][1] if lessons else None),
            gr.Dropdown(versions, value=live.number), session.export_path(live),
        )  # fmt: skip

    def begin(self, text: str | None, question: str | None, replaces: list[str] | None) -> tuple:
        """Check the form and offer to replace what the lesson contradicts."""
        found = self._session.conflicts(text or "", question or "")
        ids = [lesson_id for _, lesson_id in found]
        chosen = [i for i in ids if i in replaces] if replaces else ids
        return gr.CheckboxGroup(choices=found, value=chosen, visible=bool(found)), gr.Button(interactive=True)

    def preview(
        self, text: str, question: str, answer: str, method: str, replaces: list[str], request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> tuple:  # fmt: skip
        """Learn on a trial copy and show the report card."""
        off = gr.Button(interactive=False)
        try:
            number, made = self._session.preview(
                text, question, answer, method, tab_of(request), list(replaces or []), lambda f, t: progress(f, desc=t)
            )
        except QFError as error:
            gr.Warning(str(error), duration=SECONDS_SHOWN)
            return None, words.NO_REPORT, off, off, present.note(str(error)), "", gr.skip()
        note = "" if made.report.learned else present.note(words.NOT_LEARNED)
        on, hidden = gr.Button(interactive=True), gr.Button(visible=False)
        return number, present.report_card(made.report), on, off, note, "", hidden

    def stop(self, request: gr.Request) -> None:
        """Stop a preview in progress; nothing was changed."""
        self._session.cancel_teaching(tab_of(request))

    def apply(self, number: int | None) -> tuple:
        """Make the preview live."""
        version = self._session.apply(number)
        text = words.LEARNED_CHIP.format(number=version.number)
        return None, gr.Button(interactive=False), present.chip(text), gr.Button(visible=True), *self.values()

    def undo(self) -> tuple:
        """Go back to what was known before."""
        version = self._session.engine.undo()
        text = words.UNDONE.format(number=version.number)
        return present.chip(text), gr.Button(visible=False), *self.values()

    def choose(self, number: int | None) -> str:
        """Show what a version knows."""
        store = self._session.engine.store
        return present.lesson_list(store.lessons(store.version("live" if number is None else number)))

    def restore(self, number: int | None) -> tuple:
        """Make a version's knowledge live again."""
        version = self._session.engine.restore("live" if number is None else number)
        return present.chip(words.RESTORED.format(number=version.number, old=number)), *self.values()

    def forget(self, lesson: str | None) -> tuple:
        """Forget one lesson of the live version."""
        version = self._session.engine.forget(lesson or "")
        return present.chip(words.FORGOTTEN.format(number=version.number)), *self.values()

    def write(
        self, kind: str, version: int, path: str, progress: gr.Progress = gr.Progress()  # noqa: B008 - as above
    ) -> str:
        """Export a version to a file."""
        done = self._session.export(kind, version, path, lambda f, t: progress(f, desc=t))
        return words.EXPORTED.format(path=done["path"], megabytes=done["bytes"] / 1e6)
