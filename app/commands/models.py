"""Commands over models and measures: models, eval."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import AsJson, Home, Method, Model, cli, progress, show, stderr, stopped_by_user
from app.lines import model_lines
from qfcore.recipe import recipe_named
from qfcore.settings import LEAST_STRENGTH


@cli.command()
def models(
    install: Annotated[
        str | None, typer.Option(help="Fetch a model of the catalogue, or hf:OWNER/NAME[/FILE.gguf][@REVISION] of the hub.")
    ] = None,
    choose: Annotated[
        str | None, typer.Option(help="What `qfchat run` opens when it is given no model (`default` forgets a choice).")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the models that are here or that QF Chat can install by itself."""
    from dataclasses import asdict

    from qfcore.models.library import Library, check_name
    from qfcore.settings import Paths

    paths = Paths.find(home)
    library = Library(paths.models, on_notice=lambda text: stderr.print(text, markup=False, soft_wrap=True))
    if install is not None:
        check_name(install)
        paths.prepare()
        with stopped_by_user() as cancel, progress() as tell:
            library.find(install, tell, cancel)
    if choose is not None:
        from app.choice import Choice, remember_choice
        from app.shelf import choose_model

        paths.prepare()
        if choose == "default":
            remember_choice(paths, Choice())
        else:
            choose_model(paths, choose)
    found = library.list()
    show([asdict(model) for model in found], as_json, [line for model in found for line in model_lines(model)])


@cli.command(name="eval")
def evaluate(
    suite: Path,
    limit: Annotated[int | None, typer.Option(min=1, help="Teach only the first N lessons.")] = None,
    method: Method = "thorough",
    text: Annotated[Path | None, typer.Option(help="Texts (JSONL) for the perplexity drift.")] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="All lessons active for every question, as in exported weights.")
    ] = False,
    strength: Annotated[
        float, typer.Option("--strength", min=LEAST_STRENGTH, max=1.0, help="Of their change, with --everything.")
    ] = 1.0,
    exported: Annotated[
        str | None,
        typer.Option("--exported", help="Ask an exported GGUF file in stock llama-cpp-python: reach, plain, or a path."),
    ] = None,
    conversations: Annotated[
        Path | None, typer.Option(help="Conversations (JSONL) about the suite's lessons, asked too.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ask the untaught model again, too; its answers are remembered.")
    ] = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Measure learning on a suite, in a scratch store: recall, paraphrases, other subjects, the same subject, loops."""
    from qfcore.measure.suite import measure_suite, read_suite
    from qfcore.measure.table import table_lines

    recipe, items = recipe_named(method), read_suite(suite, limit)
    texts = read_suite(text, None) if text is not None else []
    talks = read_suite(conversations, None) if conversations is not None else []
    with progress() as tell:
        value = measure_suite(
            items, recipe, home=home, model=model, texts=texts, conversations=talks, everything=everything,
            strength=strength, fresh=fresh, exported=exported, on_progress=tell,
        )  # fmt: skip
    value = {"suite": suite.name, "method": method, "everything": everything, "strength": strength, **value}
    show(value, as_json, table_lines(value))
