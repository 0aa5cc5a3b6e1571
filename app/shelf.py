"""The models that the window can open: list, install, choose. No Gradio here."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from app import words
from app.choice import Choice, remember_choice
from qfcore.errors import NotFound
from qfcore.models.hub import PREFIX
from qfcore.models.library import Found, Library, Listed, check_name
from qfcore.runtime.protocol import Progress
from qfcore.settings import Paths

if TYPE_CHECKING:
    from qfcore.engine import Engine


class Shelf:
    """The library of one home, beside the engine that is open. opened: the name that it was opened by."""

    def __init__(self, engine: "Engine", opened: str | None = None) -> None:
        self._engine, self._opened = engine, opened
        self._cancels: dict[str, threading.Event] = {}

    @property
    def _library(self) -> Library:
        return Library(self._engine.paths.models)

    def list(self) -> list[Listed]:
        """All models, those of the catalogue first."""
        return self._library.list()

    def is_open(self, model: Listed) -> bool:
        """Whether this is the model that answers."""
        return Path(model.path) == self._engine.runtime.facts.path

    def install(self, name: str, tab: str, on_progress: Progress) -> Found:
        """Fetch a model, or look at a file; the file is checked, and whether it fits into memory.

        Raises:
            NotFound, ModelError, HomeError: see `Library.find`. Cancelled: `stop` was called.
        """
        cancel = self._cancels[tab] = threading.Event()
        check_name(_named(name))
        found = self._library.find(name.strip(), on_progress, cancel)
        _check(found)
        return found

    def stop(self, tab: str) -> None:
        """Stop the installing that this tab began; what was fetched is kept."""
        if tab in self._cancels:
            self._cancels[tab].set()

    def close(self) -> None:
        """Stop everything that is being installed."""
        for cancel in list(self._cancels.values()):
            cancel.set()

    def choose(self, name: str) -> Found:
        """Open this model from the next start on. It must be here.

        Raises:
            NotFound: it is not installed, or there is none. ModelError: it is damaged or does not fit.
        """
        return choose_model(self._engine.paths, name, before=self._opened)


def choose_model(paths: Paths, name: str, *, before: str | None = None) -> Found:
    """Remember a model of the library of a home for the next start; raises as `Shelf.choose` does."""
    name, library = _named(name), Library(paths.models)
    check_name(name)
    listed = next((model for model in library.list() if model.name == name), None)
    here = listed.installed if listed else not name.startswith(PREFIX) or library.is_here(name)
    if not here:
        raise NotFound(words.NOT_INSTALLED.format(name=name))
    found = library.find(name)
    _check(found)
    kept = name if found.trusted or name.startswith(PREFIX) else str(found.path)  # a path may have been relative
    remember_choice(paths, Choice(kept, before))
    return found


def _check(found: Found) -> None:
    """Raises ModelError for a model that is damaged or does not fit into memory."""
    from qfcore.opening import check_room, facts_of  # it brings torch, which listing models does not need

    check_room(found.path, facts_of(found.path))


def _named(name: str) -> str:
    if not name.strip():
        raise NotFound(words.NO_MODEL_NAMED)
    return name.strip()
