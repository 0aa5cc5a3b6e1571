"""Commands over models and measures: models, eval."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import AsJson, Home, Method, Model, cli, progress, show, stopped_by_user
from qfcore.recipe import recipe_named


@cli.command()
def models(
    install: Annotated[
        str | None, typer.Option(help="Fetch a model of the catalogue, or hf:OWNER/NAME/FILE.gguf[@REVISION] of the hub.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the models that are here or that QF Chat can install by itself."""
    from dataclasses import asdict

    from qfcore.models.gguf_check import check_gguf
    from qfcore.models.library import Library, check_name, memory_needed
    from qfcore.settings import CHAT_CONTEXT, Paths

    paths = Paths.find(home)
    library = Library(paths.models)
    if install is not None:
        check_name(install)
        paths.prepare()
        with stopped_by_user() as cancel, progress() as tell:
            library.find(install, tell, cancel)
    value, lines = [], []
    for model in library.list():
        need = memory_needed(check_gguf(Path(model.path)), CHAT_CONTEXT) if model.installed else None
        value.append({**asdict(model), "memory_bytes": need})
        memory = f", about {need / 1e9:.1f} GB of memory" if need else ""
        mark = "✓" if model.installed else " "
        lines.append(f"{mark} {model.name:20} {model.bytes / 1e6:7,.0f} MB{memory}  {model.title}; {model.purpose}")
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
