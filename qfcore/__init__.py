"""QF Chat's engine: a local model that learns lessons into its weights, in closed form, and can undo it exactly.

>>> from pathlib import Path
>>> from qfcore import load
>>> engine = load()  # the default model; load(model="model.gguf", home="folder") for others
>>> "Qi" in engine.ask("Who started Oxinnovate?", version=0)  # version 0 is the base model
False
>>> taught = engine.teach("Qi started Oxinnovate.", method="fast")
>>> taught.learned, taught.version.number
(True, 1)
>>> "Qi" in engine.ask("Who started Oxinnovate?")
True
>>> engine.restore(0).number  # go back; a new version, so nothing is lost
2
>>> engine.ask("Who started Oxinnovate?") == engine.ask("Who started Oxinnovate?", version=0)
True
>>> engine.exports.adapter(Path("oxinnovate.gguf"), version=1)["rank"] > 0
True
>>> engine.close()
"""

import os
from typing import TYPE_CHECKING

# Threads that wait for each other sleep instead of spinning: as fast on a quiet machine, and a third faster beside another
# program that computes (figures in NOTES.md, 2026-11-25). The OpenMP library reads it when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from pathlib import Path

    from qfcore.engine import Engine

__all__ = ["load"]


def load(model: str | None = None, home: "str | Path | None" = None) -> "Engine":
    """Open a model and what it was taught; close it at the end (or use contextlib.closing).

    model: of the catalogue (None: the default), "hf:OWNER/NAME/FILE.gguf", "hf:OWNER/NAME", or a path. home: the data folder
    (None: the user's).
    llama.cpp and torch are imported only now.

    Raises:
        QFError: see `qfcore.engine.Engine.open`.
    """
    from qfcore.engine import Engine

    return Engine.open(model=model, home=home)
