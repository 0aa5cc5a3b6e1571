"""Models to choose, as a table with buttons."""

from collections.abc import Callable, Sequence

from app import words
from app.present.common import buttons, escape, table
from qfcore.models.library import Listed


def models_table(models: Sequence[Listed], is_open: Callable[[Listed], bool]) -> str:
    """Every model with its size, memory, licence and state; buttons install or open it."""
    return table(words.MODEL_COLUMNS, (_row(model, here=is_open(model)) for model in models))


def _row(model: Listed, *, here: bool) -> str:
    actions = [] if here else [("open", words.OPEN_WITH)] if model.installed else [("install", words.INSTALL)]
    actions = actions if model.fits and not model.problem else []
    memory = (words.MEMORY_ABOUT if model.installed else words.MEMORY_AT_LEAST).format(gigabytes=model.memory_bytes / 1e9)
    if not model.fits:
        memory += f" {words.DOES_NOT_FIT}"
    state = words.MODEL_OPEN if here else words.INSTALLED if model.installed else words.NOT_HERE
    tone = "qf-bad" if model.problem else "qf-good" if model.installed else "qf-quiet"
    state = f'<span class="{tone}">{escape(words.DAMAGED.format(why=model.problem) if model.problem else state)}</span>'
    return (
        f'<tr><td><strong>{escape(model.title)}</strong><br><span class="qf-quiet">{escape(model.purpose)}</span></td>'
        f"<td>{model.bytes / 1e6:,.0f} MB</td><td>{escape(memory)}</td><td>{escape(model.licence or words.NO_LICENCE)}</td>"
        f"<td>{state}</td><td>{buttons(model.title, 'model', model.name, actions)}</td></tr>"
    )
