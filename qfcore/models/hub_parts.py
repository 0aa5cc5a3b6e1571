"""Which files of a repository of the hub make a transformers checkpoint, and how each is checked.

Code (.py) and pickles are never among them. Hashes: large files carry their SHA-256, the others git's SHA-1 of a blob
(https://git-scm.com/book/en/v2/Git-Internals-Git-Objects), which the hub also sends as their etag.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from qfcore.errors import ModelError, NotFound
from qfcore.models.checkpoint import CONFIG, INDEX, WEIGHTS

_NEEDED = (CONFIG, "tokenizer.json")
_BESIDE = (
    "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "chat_template.json",
)  # fmt: skip
_SHARD = re.compile(r"(?<![\w.-])[\w.-]{1,200}-\d{5}-of-\d{5}\.safetensors", re.ASCII)
_OTHER_LAYOUT = "consolidated"
"""How the names of weights begin that lie beside transformers' own, for other programs."""
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


@dataclass(frozen=True)
class HubPart:
    """One file to fetch. bytes: its size; hash: 64 hex digits of SHA-256, or 40 of git's SHA-1."""

    file: str
    bytes: int
    hash: str

    @property
    def is_large(self) -> bool:
        """Whether it is checked by SHA-256."""
        return len(self.hash) == 64

    @property
    def is_weights(self) -> bool:
        """Whether it is one of the big ones."""
        return self.file.endswith(".safetensors")

    @property
    def algorithm(self) -> str:
        """What its hash is called."""
        return "SHA-256" if self.is_large else "git SHA-1"


def hash_of(path: Path, part: HubPart) -> str:
    """The hash of a file, of the kind by which a part is checked."""
    with path.open("rb") as file:
        if part.is_large:
            return hashlib.file_digest(file, "sha256").hexdigest()
        hasher = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(1 << 20):
            hasher.update(block)
        return hasher.hexdigest()


def checkpoint_of(siblings: list, repo: str) -> tuple[HubPart, ...]:
    """The files of a checkpoint, of huggingface_hub's list of a repository's.

    Raises:
        NotFound: it holds no model that QF Chat opens. ModelError: the hub does not say size and hash of a file.
    """
    found = {sibling.rfilename: sibling for sibling in siblings}
    weights = [WEIGHTS] if WEIGHTS in found else [INDEX, *_shards(found)]
    if INDEX in weights and (INDEX not in found or len(weights) == 1):
        raise NotFound(_why_not(found, repo))
    for name in _NEEDED:
        if name not in found:
            raise NotFound(f"{repo} has no {name}, so QF Chat cannot open its checkpoint. Choose a GGUF file of this model.")
    return tuple(_part(found[name]) for name in (*_NEEDED, *(n for n in _BESIDE if n in found), *weights))


def _shards(found: dict) -> list[str]:
    return sorted(name for name in found if _SHARD.fullmatch(name) and not name.startswith(_OTHER_LAYOUT))


def _why_not(found: dict, repo: str) -> str:
    if "adapter_config.json" in found:
        return f"{repo} holds a PEFT adapter, not a model. Choose its base, or a repository where both are merged."
    if any(name.endswith(_PICKLES) for name in found):
        return (
            f"{repo} holds its weights as pickle, which can run code when it is opened, so they are not fetched. Choose a "
            "repository with safetensors, or with a GGUF file."
        )
    return (
        f"{repo} holds no GGUF file and no checkpoint. Choose a repository of GGUF files (often named NAME-GGUF), or one "
        f"with {CONFIG} and {WEIGHTS}."
    )


def _part(sibling) -> HubPart:  # noqa: ANN001 - huggingface_hub's RepoSibling
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    expected = 64 if sibling.lfs else 40
    if sibling.size is None or not re.fullmatch(rf"[0-9a-f]{{{expected}}}", digest or ""):
        raise ModelError(f"The hub does not say size and hash of {sibling.rfilename}, so it cannot be checked.")
    return HubPart(sibling.rfilename, sibling.size, digest)
