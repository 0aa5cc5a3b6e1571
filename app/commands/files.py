"""Commands that read and write files: export, import."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.common import AsJson, Home, Method, Model, VersionRef, cli, opened, progress, show, stopped_by_user
from app.lines import form_lines, states_lines, version_line
from qfcore.recipe import recipe_named
from qfcore.settings import LEAST_STRENGTH

export = typer.Typer(no_args_is_help=True, help="Write a version as a file. What was taught can be read back from it.")
cli.add_typer(export, name="export")
Out = Annotated[Path, typer.Option("--out", help="The file to write.")]
Folder = Annotated[Path, typer.Option("--out", help="The folder to make.")]
TensorType = Annotated[
    str, typer.Option("--type", help="Type of the edited tensor: auto, keep, F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K.")
]
Strength = Annotated[
    float,
    typer.Option(
        "--strength", min=LEAST_STRENGTH, max=1.0,
        help="Share of the change that is exported; less disturbs other answers less.",
    ),
]
Form = Annotated[
    str,
    typer.Option(
        "--form",
        help="plain: all lessons act on every question. reach: each acts where its subject is named (three added blocks).",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over an existing file.")]
WithLessons = Annotated[bool, typer.Option("--lessons", help="List what was taught in the model card.")]


@export.command("adapter")
def export_adapter(
    out: Out, version: VersionRef = None, strength: Strength = 1.0, overwrite: Overwrite = False, home: Home = None,
    model: Model = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """A GGUF LoRA adapter, for llama.cpp beside the same base model."""
    with opened(home, model, read_only=True) as engine:
        value = engine.exports.adapter(out.absolute(), version, strength=strength, overwrite=overwrite)
    show(value, as_json, [f"Wrote {value['path']} ({value['bytes']:,} bytes, rank {value['rank']})."])


@export.command("gguf")
def export_gguf(
    out: Out,
    version: VersionRef = None,
    strength: Strength = 1.0,
    tensor_type: TensorType = "auto",
    form: Form = "plain",
    overwrite: Overwrite = False,
    card: Annotated[bool, typer.Option("--card", help="Write a model card beside it (the same name, .md).")] = False,
    lessons: WithLessons = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """The whole model with the knowledge in its weights, for any llama.cpp."""
    with opened(home, model, read_only=True) as engine, progress() as tell:
        value = engine.exports.gguf(
            out.absolute(), version, strength=strength, tensor_type=tensor_type, form=form, overwrite=overwrite,
            card=card, with_lessons=lessons, on_progress=tell,
        )  # fmt: skip
    beside = [f"Wrote {value['card']}."] if card else []
    wrote = f"Wrote {value['path']} ({value['bytes']:,} bytes, SHA-256 {value['sha256']})."
    show(value, as_json, [wrote, *form_lines(value), *beside])


@export.command("ollama")
def export_ollama(
    out: Folder,
    version: VersionRef = None,
    strength: Strength = 1.0,
    tensor_type: TensorType = "auto",
    form: Form = "plain",
    lessons: WithLessons = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """A folder with the whole model, a Modelfile for Ollama and a model card."""
    with opened(home, model, read_only=True) as engine, progress() as tell:
        value = engine.exports.ollama(
            out.absolute(), version, strength=strength, tensor_type=tensor_type, form=form, with_lessons=lessons,
            on_progress=tell,
        )  # fmt: skip
    made = f"Made {value['path']} ({value['bytes']:,} bytes). ollama create my-model -f Modelfile"
    show(value, as_json, [made, *form_lines(value)])


@export.command("peft")
def export_peft(
    out: Folder,
    version: VersionRef = None,
    strength: Strength = 1.0,
    base: Annotated[str | None, typer.Option(help="What it is loaded beside (default: the base's own name).")] = None,
    max_rank: Annotated[
        int | None, typer.Option("--max-rank", min=1, max=512, help="Cut a higher rank down to this one; the loss is told.")
    ] = None,
    lessons: WithLessons = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """A LoRA adapter for transformers (peft) and vLLM, in a folder."""
    with opened(home, model, read_only=True) as engine:
        value = engine.exports.peft(
            out.absolute(), version, strength=strength, base=base, with_lessons=lessons, max_rank=max_rank
        )
    lost = [f"Cut to rank {value['rank']}, {value['error']:.1%} of the change is lost."] if value["error"] else []
    made = f"Made {value['path']} ({value['bytes']:,} bytes, rank {value['rank']}), beside {value['base']}."
    show(value, as_json, [made, *lost])


@export.command("transformers")
def export_transformers(
    out: Folder,
    version: VersionRef = None,
    strength: Strength = 1.0,
    dtype: Annotated[str, typer.Option(help="Type of all weights: bfloat16, float16, float32.")] = "bfloat16",
    lessons: WithLessons = False,
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """The whole model in safetensors for transformers and vLLM, in a folder (needs the extra `transformers`)."""
    with opened(home, model, read_only=True) as engine, progress() as tell:
        value = engine.exports.checkpoint(
            out.absolute(), version, strength=strength, dtype=dtype, with_lessons=lessons, on_progress=tell
        )
    show(value, as_json, [f"Made {value['path']} ({value['bytes']:,} bytes, {value['type']})."])


@export.command("card")
def export_card(
    out: Out, version: VersionRef = None, lessons: WithLessons = False, overwrite: Overwrite = False, home: Home = None,
    model: Model = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """A model card: base, version, hashes, how the lessons stood."""
    with opened(home, model, read_only=True) as engine:
        value = engine.exports.card(out.absolute(), version, with_lessons=lessons, overwrite=overwrite)
    show(value, as_json, [f"Wrote {value['path']}."])


@export.command("bundle")
def export_bundle(
    out: Out, overwrite: Overwrite = False, home: Home = None, model: Model = None, as_json: AsJson = False
) -> None:
    """All lessons, versions and names in one file, to keep or to move to another machine."""
    with opened(home, model, read_only=True) as engine:
        value = engine.exports.bundle(out.absolute(), overwrite=overwrite)
    show(
        value, as_json,
        [f"Wrote {value['path']} ({value['bytes']:,} bytes: {value['lessons']} lessons, {value['versions']} versions)."],
    )  # fmt: skip


@cli.command("import")
def import_bundle(
    file: Annotated[Path, typer.Argument(help="A bundle that `qfchat export bundle` wrote.")],
    reobserve: Annotated[bool, typer.Option("--reobserve", help="Teach its lessons anew, for another base model.")] = False,
    method: Method = "thorough",
    home: Home = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Take over a bundle: its whole history where nothing was taught yet, else its lessons."""
    recipe = recipe_named(method)
    with opened(home, model) as engine:
        engine.recipe = recipe
        lines: list[str] = []
        with stopped_by_user() as cancel, progress() as tell:
            if reobserve:
                version, preview, states = engine.reobserve_bundle(file, recipe=recipe, on_progress=tell, cancel=cancel)
                lines = states_lines(states, preview.report)
            else:
                version = engine.import_bundle(engine.read_bundle(file), on_progress=tell, cancel=cancel)
    value = {"version": version.number, "content": version.content, "lessons": len(version.entries)}
    show(value, as_json, [*lines, version_line(version, live=True)])
