"""Commands over models and measures: models, eval."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import AsJson, Home, Method, Model, cli, progress, show
from qfcore.recipe import recipe_named


@cli.command()
def models(
    install: Annotated[str | None, typer.Option(help="Assemble a model of the catalogue now.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the models that QF Chat can install by itself."""
    from qfcore.models.assemble import ensure_model
    from qfcore.models.catalogue import CATALOGUE, DEFAULT, ModelEntry, find_model
    from qfcore.settings import Paths

    paths = Paths.find(home)
    if install is not None:
        entry = find_model(install)
        if isinstance(entry, ModelEntry):
            paths.prepare()
            with progress() as tell:
                ensure_model(entry, paths.models, on_progress=tell)
    value = [
        {"name": e.name, "title": e.title, "bytes": e.bytes, "sha256": e.sha256, "licence": e.licence,
         "purpose": e.purpose, "default": e.name == DEFAULT, "path": str(paths.models / e.file),
         "installed": (paths.models / e.file).is_file()}
        for e in CATALOGUE.values()
    ]  # fmt: skip
    lines = [
        f"{'✓' if m['installed'] else ' '} {m['name']:20} {m['bytes'] / 1e6:7,.0f} MB  {m['title']}; {m['purpose']}"
        for m in value
    ]
    show(value, as_json, lines)


@cli.command(name="eval")
def evaluate(
    suite: Path,
    limit: Annotated[int | None, typer.Option(min=1, help="Teach only the first N lessons.")] = None,
    method: Method = "thorough",
    text: Annotated[Path | None, typer.Option(help="Texts (JSONL) for the perplexity drift.")] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="All lessons active for every question, as in exported weights.")
    ] = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Measure learning on a suite, in a scratch store: recall, generalisation, locality, ceiling, base."""
    from qfcore.suite import measure_suite, read_suite, table_lines

    recipe, items = recipe_named(method), read_suite(suite, limit)
    texts = read_suite(text, None) if text is not None else []
    with progress() as tell:
        value = measure_suite(
            items, recipe, home=home, model=model, texts=texts, everything=everything, on_progress=tell
        )
    value = {"suite": suite.name, "method": method, "everything": everything, **value}
    show(value, as_json, table_lines(value))
