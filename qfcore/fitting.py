"""Whether a bundle that was read fits the model that is open: layers, widths, and the replay that its versions need."""

from collections.abc import Sequence
from pathlib import Path

from qfcore.errors import BundleError
from qfcore.export.adapter import tensor_name
from qfcore.opening import facts_of
from qfcore.recipe import RECIPES
from qfcore.replay import replay_of
from qfcore.runtime.protocol import ModelFacts
from qfcore.store.bundle import Bundle
from qfcore.store.records import PendingLesson
from qfcore.store.replays import sound_replays


def check_fit(bundle: Bundle, facts: ModelFacts, folders: Sequence[Path]) -> None:
    """Look at everything of a bundle that the model's shape decides. folders: where replay files lie already.

    Raises:
        BundleError: its rows or replay are of another shape, or it lacks a replay that is not here either.
    """
    header = facts_of(facts.path)
    tensors = getattr(header, "tensors", {})  # a checkpoint's layers are all of one width

    def inputs(layer: int) -> int:
        place = tensors.get(tensor_name(layer))
        return place.shape[0] if place else header.n_ff

    # A model may be too small for one of the recipes.
    layers = {recipe.layer_of(facts.n_layer) for recipe in RECIPES.values() if -recipe.layer <= facts.n_layer}
    for pending in bundle.lessons.values():
        layer, found = pending.rows.layer, (pending.rows.keys.shape[1], pending.rows.targets.shape[1])
        if layer not in layers or found != (inputs(layer), facts.n_embd):
            raise BundleError(
                f"The bundle's rows are for layer {layer} with {found[0]} inputs and {found[1]} outputs; "
                f"one of the layers {sorted(layers)} with {inputs(layer)} and {facts.n_embd} was expected. "
                "Import with --reobserve to teach its lessons anew."
            )
    for name, data in bundle.replays.items():
        try:
            width = replay_of(data).keys.shape[1]
        except ValueError as error:
            raise BundleError(f"The bundle's {name} is no replay ({error}).") from error
        wanted = inputs(int(name.split("-")[1]))
        if width != wanted:
            raise BundleError(f"The bundle's {name} has keys of {width} numbers, {wanted} were expected.")
    there = sound_replays(bundle.missing, folders)
    if gone := [digest for digest in bundle.missing if digest not in there]:
        raise BundleError(
            f"The bundle lacks the replay {gone[0][:12]} that version {bundle.missing[gone[0]][0]} was solved with. "
            "Import with --reobserve to teach its lessons anew."
        )


def check_layer(lessons: Sequence[PendingLesson], layer: int) -> None:
    """See that lessons can be solved with what is live here.

    Raises:
        BundleError: they were taught at another layer.
    """
    others = sorted({pending.rows.layer for pending in lessons} - {layer})
    if others:
        raise BundleError(
            f"The bundle's lessons were taught at layer {others[0]}, those of this home are taught at layer {layer}, and "
            "both cannot be mixed. Import into a home without lessons, or with --reobserve to teach them anew."
        )
