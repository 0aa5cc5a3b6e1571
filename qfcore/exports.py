"""Every way out for a version: adapter, whole model, PEFT, checkpoint, Ollama, card; and all knowledge as a bundle."""

import threading
from collections.abc import Callable
from pathlib import Path

from qfcore.delta import Delta
from qfcore.errors import ExportError
from qfcore.export.adapter import write_adapter
from qfcore.export.atomic import atomic_folder, atomic_write, check_target
from qfcore.export.card import Card
from qfcore.export.checkpoint import write_checkpoint
from qfcore.export.merged import write_merged
from qfcore.export.modules import expected_down_projection
from qfcore.export.ollama import modelfile
from qfcore.export.peft import write_peft
from qfcore.knowledge import Knowledge
from qfcore.margin import Head
from qfcore.models.catalogue import CATALOGUE
from qfcore.propose import rarity_of
from qfcore.reach.exporting import Reached, reach_blocks
from qfcore.reach.shape import why_plain
from qfcore.runtime.protocol import Progress, Runtime, Sampling, part_of
from qfcore.runtime.quantize import quantize_rows
from qfcore.scope import is_instruction
from qfcore.standing import standings
from qfcore.store.records import Version
from qfcore.store.store import Store

MODEL_FILE = "model.gguf"
"""The model's name in a folder for Ollama."""
_GGUF_USE = "`model.gguf` opens in llama.cpp and LM Studio; in Ollama: `ollama create my-model -f Modelfile`."
_CHECKPOINT_USE = "Open this folder with `AutoModelForCausalLM.from_pretrained`, or serve it: `vllm serve THIS_FOLDER`."
_PEFT_USE = (
    "With peft: `PeftModel.from_pretrained(base_model, THIS_FOLDER)`. With vLLM: `vllm serve {base} --enable-lora "
    "--max-lora-rank {rank} --lora-modules taught=THIS_FOLDER`; requests then name the model `taught`. Several versions are "
    "served together: `--lora-modules v3=FOLDER v5=FOLDER --max-loras 2`."
)
FORMS = ("plain", "reach")
"""How a whole GGUF model carries its lessons. plain: all are active at once, in one changed weight. reach: each is active
where its subject is named, by three added blocks."""
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's --max-lora-rank can be."""


class Exports:
    """Writes versions of one store. Folders and files are complete or absent.

    Every method but `bundle` takes a version's number, name or hash (None: the live one), and raises NotFound when there is
    none. A file that exists is written over only when `overwrite` says so, a folder never; nor is the base, or anything of
    the store's. strength: the change is multiplied by it, above 0 and at most 1 (else ExportError). In the plain form all
    lessons are active at once, so less of it disturbs other answers less, and paraphrases are answered less often (README).

    head: the model's last step, which the form with reach needs. measured: folder for what that form knows of the base.
    """

    def __init__(
        self, runtime: Runtime, store: Store, knowledge: Knowledge, head: Callable[[], Head | None] = lambda: None,
        measured: Path | None = None,
    ) -> None:  # fmt: skip
        self._runtime, self._store, self._knowledge, self._head, self._measured = runtime, store, knowledge, head, measured

    def adapter(
        self, out: Path, version: str | int | None = None, *, strength: float = 1.0, overwrite: bool = False
    ) -> dict:
        """A GGUF LoRA adapter for llama.cpp, beside the same base.

        Raises:
            ExportError: the version knows nothing, or the file exists or cannot be written.
        """
        self._check_file(out, overwrite)
        chosen, delta = self._known(version, strength)
        card = self._card(chosen, with_lessons=False, strength=strength)
        write_adapter(delta, out, architecture=self._store.model.architecture, metadata=card.metadata())
        return {"path": str(out), "bytes": out.stat().st_size, "rank": delta.rank, "version": chosen.number}

    def gguf(
        self, out: Path, version: str | int | None = None, *, strength: float = 1.0, tensor_type: str = "auto",
        form: str = "plain", overwrite: bool = False, card: bool = False, with_lessons: bool = False,
        on_progress: Progress | None = None, cancel: threading.Event | None = None,
    ) -> dict:  # fmt: skip
        """The whole model with a version's knowledge in its weights, for any llama.cpp.

        card: write a model card beside it, of the same name with the ending .md. form: one of `FORMS`. The result tells the
        form; with reach also how many `subjects` there are, and which lessons are `missed` or `softened` (see
        `qfcore.reach.exporting.Reached`).

        Raises:
            ExportError: the file exists, is the base itself, or cannot be written; the base is a checkpoint, the type or
                the form is not offered, or the base cannot have it. ModelError: the base is damaged.
            Cancelled: `cancel` was set.
        """
        self._from_a_file()
        beside = out.with_suffix(".md")
        for path in (out, beside) if card else (out,):
            self._check_file(path, overwrite)
        chosen = self._store.version("live" if version is None else version)
        tell = on_progress or (lambda *_: None)
        self._check_form(chosen, form)
        reached = self._blocks(chosen, out, strength, part_of(tell, 0.0, 0.9), cancel) if form == "reach" else None
        subjects = reached.subjects if reached else None
        result = write_merged(
            self._runtime.facts.path, (self._of_instructions if reached else self._delta)(chosen, strength), out,
            metadata=self._card(chosen, with_lessons=False, strength=strength, subjects=subjects).metadata(),
            tensor_type=tensor_type, quantize=quantize_rows, blocks=reached.blocks if reached else None,
            overwrite=overwrite, on_progress=part_of(tell, 0.9, 0.1) if reached else tell,
            cancel=cancel,
        )  # fmt: skip
        result["form"] = form
        if reached:
            result |= {
                "subjects": subjects, "missed": [record.lesson.text for record in reached.missed],
                "softened": dict(reached.softened),
            }  # fmt: skip
        if card:
            use = f"`{out.name}` opens in llama.cpp, LM Studio, Ollama and whatever else reads GGUF."
            self.card(
                beside, chosen.number, with_lessons=with_lessons, overwrite=overwrite, use=use, library="gguf",
                strength=strength, subjects=subjects,
            )  # fmt: skip
            result["card"] = str(beside)
        return {**result, "version": chosen.number}

    def peft(
        self, folder: Path, version: str | int | None = None, *, strength: float = 1.0, base: str | None = None,
        with_lessons: bool = False, max_rank: int | None = None,
    ) -> dict:  # fmt: skip
        """A PEFT adapter in a new folder, for transformers and vLLM.

        base: what to load it beside; the catalogue's models know their own, for others it is the GGUF's name. max_rank: cut
        a change of higher rank down to this; "error" is then the share of its norm that is lost.

        Raises:
            ExportError: the version knows nothing, its rank (after max_rank) is more than vLLM loads, it is not
                known how transformers names the edited weight, or the folder exists or cannot be written.
        """
        chosen, delta = self._known(version, strength)
        delta, error = delta.reduced(max_rank)
        if delta.rank > VLLM_RANKS[-1]:
            raise ExportError(
                f"The change of version {chosen.number} has rank {delta.rank}, vLLM loads adapters up to {VLLM_RANKS[-1]}. "
                f"Export the whole model (`transformers`), or allow a loss by a highest rank (--max-rank {VLLM_RANKS[-1]})."
            )
        card = self._card(chosen, with_lessons=with_lessons, strength=strength)
        beside = base or card.base
        use = _PEFT_USE.format(base=beside, rank=next(rank for rank in VLLM_RANKS if rank >= delta.rank))
        if error:
            use += f" Its rank was cut to {delta.rank}, which loses {error:.1%} of the change (Frobenius norm)."
        write_peft(delta, folder, module=self._module(delta.layer), base=beside, card=card.markdown(use=use, library="peft"))
        return {**_size(folder), "rank": delta.rank, "error": error, "version": chosen.number, "base": beside}

    def checkpoint(
        self, folder: Path, version: str | int | None = None, *, strength: float = 1.0, dtype: str = "bfloat16",
        with_lessons: bool = False, on_progress: Progress | None = None,
    ) -> dict:  # fmt: skip
        """The whole model in safetensors, in a new folder, for transformers and vLLM.

        Raises:
            ExportError: see `qfcore.export.checkpoint.write_checkpoint`.
        """
        chosen = self._store.version("live" if version is None else version)
        card = self._card(chosen, with_lessons=with_lessons, strength=strength)
        text = card.markdown(use=_CHECKPOINT_USE, library="transformers")
        result = write_checkpoint(
            self._runtime.facts.path, self._delta(chosen, strength), folder, card=text, dtype=dtype, on_progress=on_progress
        )
        return {**result, "version": chosen.number}

    def ollama(
        self, folder: Path, version: str | int | None = None, *, strength: float = 1.0, tensor_type: str = "auto",
        form: str = "plain", with_lessons: bool = False, on_progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> dict:  # fmt: skip
        """A new folder with the whole model, a Modelfile for Ollama and a card.

        Raises:
            ExportError: the folder exists or cannot be written, the chat template has no Ollama form, the base is a
                checkpoint, or the type is not offered. ModelError: the base is damaged.
            Cancelled: `cancel` was set.
        """
        self._from_a_file()
        chosen, sampling = self._store.version("live" if version is None else version), Sampling()
        text = modelfile(
            MODEL_FILE, self._runtime.render, stop=self._runtime.facts.end_of_turn,
            begin=self._runtime.facts.added_begin, temperature=sampling.temperature,
            top_k=sampling.top_k, top_p=sampling.top_p,
        )  # fmt: skip
        with atomic_folder(folder) as made:
            result = self.gguf(
                made / MODEL_FILE, chosen.number, strength=strength, tensor_type=tensor_type, form=form,
                on_progress=on_progress, cancel=cancel,
            )  # fmt: skip
            (made / "Modelfile").write_text(text, encoding="utf-8")
            subjects = result.get("subjects")
            card = self._card(chosen, with_lessons=with_lessons, strength=strength, subjects=subjects)
            (made / "README.md").write_text(card.markdown(use=_GGUF_USE, library="gguf"), encoding="utf-8")
        return {**result, **_size(folder)}

    def card(
        self, out: Path, version: str | int | None = None, *, with_lessons: bool = False, overwrite: bool = False,
        use: str = "This card describes the file beside it.", library: str | None = None, strength: float = 1.0,
        subjects: int | None = None,
    ) -> dict:  # fmt: skip
        """A model card by itself, to lay beside an exported file. use: how that is opened. subjects: with reach.

        Raises:
            ExportError: the file exists or cannot be written.
        """
        self._check_file(out, overwrite)
        chosen = self._store.version("live" if version is None else version)
        card = self._card(chosen, with_lessons=with_lessons, strength=strength, subjects=subjects)
        text = card.markdown(use=use, library=library)
        with atomic_write(out) as file:
            file.write(text.encode())
        return {"path": str(out), "bytes": out.stat().st_size, "version": chosen.number}

    def bundle(self, out: Path, *, overwrite: bool = False) -> dict:
        """All knowledge of this base (lessons, rows, versions, names) in one file, to move or keep it.

        Raises:
            ExportError: the file exists or cannot be written.
        """
        self._check_file(out, overwrite)
        return self._store.write_bundle(out)

    def _check_file(self, out: Path, overwrite: bool) -> None:
        base = self._runtime.facts.path
        kept = (self._store.folder, base) if base.is_dir() else (self._store.folder,)  # a checkpoint is a folder
        check_target(out, base=base, overwrite=overwrite, kept=kept)

    def _from_a_file(self) -> None:
        """Raises ExportError for a checkpoint's folder: its GGUF is made by llama.cpp's converter."""
        if self._runtime.facts.path.is_dir():
            raise ExportError(
                "The base is a transformers checkpoint, not a GGUF file. Export it as `transformers`, then convert that "
                "folder with llama.cpp's convert_hf_to_gguf.py."
            )

    def _module(self, layer: int) -> str:
        """Where the edited weight is for transformers: as in the open checkpoint, or as the GGUF's architecture says."""
        if self._runtime.facts.path.is_dir():
            return self._runtime.module_path(layer)
        return expected_down_projection(self._store.model.architecture, self._runtime.facts.n_layer, layer)

    def _known(self, version: str | int | None, strength: float) -> tuple[Version, Delta]:
        chosen = self._store.version("live" if version is None else version)
        delta = self._delta(chosen, strength)
        if delta is None:
            raise ExportError(f"Version {chosen.number} knows no lessons, so there is no adapter to write.")
        return chosen, delta

    def _delta(self, version: Version, strength: float) -> Delta | None:
        self._check_strength(strength)
        delta = self._knowledge.delta(version)
        return None if delta is None else delta.scaled(strength)

    def _check_strength(self, strength: float) -> None:
        if not 0 < strength <= 1:
            raise ExportError(f"The strength {strength} cannot be used; a number above 0 and at most 1 was expected.")

    def _check_form(self, version: Version, form: str) -> None:
        """Raises ExportError for a form that is not offered, or that this base or version cannot have."""
        if form not in FORMS:
            raise ExportError(f"The form {form!r} is not offered; choose {' or '.join(FORMS)}.")
        if form == "plain":
            return
        why = why_plain(self._runtime.facts.path)
        if why is None and (self._head() is None or self._measured is None):
            why = "The model's last step is not known, so its margins are not."
        if why is None and version.entries and version.solve.get("method") != "ridge":
            why = "It was taught by the bare formula of the paper."
        if why is None and all(is_instruction(record.lesson) for record in self._store.lessons(version)):
            why = "It knows no lesson about a subject."
        if why:
            raise ExportError(f"This version cannot have the form with reach. {why} Choose the plain form.")

    def _blocks(
        self, version: Version, out: Path, strength: float, tell: Progress, cancel: threading.Event | None
    ) -> Reached:
        """The blocks of a version's lessons about subjects."""
        self._check_strength(strength)
        about = [record for record in self._store.lessons(version) if not is_instruction(record.lesson)]
        return reach_blocks(
            self._runtime.facts.path, self._measured, out, about, self._head(), rarity_of(self._runtime), strength=strength,
            on_progress=tell, cancel=cancel,
        )  # fmt: skip

    def _of_instructions(self, version: Version, strength: float) -> Delta | None:
        """The change of a version's instructions, which act everywhere; None without any."""
        always = {record.id for record in self._store.lessons(version) if is_instruction(record.lesson)}
        entries = [entry for entry in version.entries if entry[0] in always]
        if not entries:
            return None
        return self._knowledge.delta_of(entries, version.solve, lambda entry: self._store.rows(entry[1])).scaled(strength)

    def _card(self, version: Version, *, with_lessons: bool, strength: float, subjects: int | None = None) -> Card:
        model, delta = self._store.model, self._knowledge.delta(version)
        entry = next((entry for entry in CATALOGUE.values() if entry.sha256 == model.sha256), None)
        lessons = [record.lesson.text for record in self._store.lessons(version)] if with_lessons else None
        return Card(
            title=model.name, base=entry.repository if entry else model.name, base_sha256=model.sha256,
            version=version.number, version_hash=version.hash, content=version.content, created_at=version.created_at,
            standings=standings(version.lesson_ids, self._store.reports()),
            layer=delta.layer if delta else None, rank=delta.rank if delta else 0, lessons=lessons,
            probes=self._probes(version), strength=strength, subjects=subjects,
        )  # fmt: skip

    def _probes(self, version: Version) -> tuple[int, int] | None:
        """(unchanged, asked) unrelated questions of the newest report card about exactly these lessons."""
        same = {v.number for v in self._store.versions() if v.content == version.content}
        for number, report in self._store.reports():
            if number in same and (probes := report.get("probes")):
                return sum(bool(probe["same"]) for probe in probes), len(probes)
        return None


def _size(folder: Path) -> dict:
    return {"path": str(folder), "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())}
