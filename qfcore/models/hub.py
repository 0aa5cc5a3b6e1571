"""Models from the Hugging Face hub: a pinned revision, resumed downloads, the hub's own hashes, room checked before.

A model is one GGUF file, or a transformers checkpoint: then only safetensors, configuration and tokenizer are fetched.

huggingface_hub knows the hub's protocol and says what a file is; its downloads begin anew after an interruption (2.4), so
the bytes are fetched with httpx into a file that grows.
"""

import json
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx
from filelock import FileLock, Timeout

from qfcore.errors import Cancelled, HomeError, ModelError, NotFound
from qfcore.models.checkpoint import check_checkpoint, check_config
from qfcore.models.fingerprint import remember, sha256_of
from qfcore.models.hub_parts import HubPart, checkpoint_of, hash_of

PREFIX = "hf:"
GROWING = ".fetching"
"""How the names of files and folders end that are not complete yet."""
HOW = (
    "hf:OWNER/NAME/FILE.gguf, or hf:OWNER/NAME for a checkpoint (safetensors), with @REVISION at the end for another one "
    "than the newest"
)
_REFERENCE = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+?)(/(?P<file>[^@]+\.gguf))?(@(?P<revision>[\w./-]+))?", re.ASCII)
_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
_BLOCK = 1 << 20
_RESERVE = 256 << 20
_TIMEOUT = httpx.Timeout(30.0)
_REFUSED = (401, 403)

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class HubFile:
    """A GGUF file, or a checkpoint, at one commit. sha256: 64 hex digits, as the hub says; bytes: its size.

    revisions: branches or tags by which it was asked for; they name this file until they are fetched anew. parts: the files
    of a checkpoint, which has neither `file` nor `sha256`; parameters: of its model, 0 when the hub does not say.
    """

    repo: str
    file: str
    commit: str
    bytes: int
    sha256: str
    revisions: tuple[str, ...] = ()
    parts: tuple[HubPart, ...] = ()
    parameters: int = 0

    @property
    def title(self) -> str:
        """What it is called in a list."""
        return Path(self.file).stem or self.repo

    @property
    def whole(self) -> HubPart:
        """The file to fetch, of what is no checkpoint."""
        return HubPart(self.file, self.bytes, self.sha256)

    def answers_to(self, revision: str | None) -> bool:
        """Whether a revision (None: whatever was fetched last) is this one."""
        return revision is None or revision in self.revisions or self.commit.startswith(revision)

    @property
    def reference(self) -> str:
        """What names it for ever."""
        file = f"/{self.file}" if self.file else ""
        return f"{PREFIX}{self.repo}{file}@{self.commit}"

    @property
    def stored_as(self) -> str:
        """The name of its file, or of its folder, in the models folder."""
        file = f"--{self.file}" if self.file else ""
        return f"{self.repo}--{self.commit[:12]}{file}".replace("/", "--")

    @classmethod
    def read(cls, value: dict) -> "HubFile":
        """From the list of what is here; raises TypeError or ValueError for what is none."""
        parts = tuple(HubPart(**part) for part in value.get("parts", ()))
        return cls(**{**value, "revisions": tuple(value.get("revisions", ())), "parts": parts})


class Hub:
    """The hub, and the folder into which its files go.

    endpoint: another server that speaks the same protocol (None: HF_ENDPOINT, or the public hub).
    """

    def __init__(self, folder: Path, endpoint: str | None = None) -> None:
        self._folder, self._endpoint = folder, endpoint

    def installed(self) -> list[HubFile]:
        """What is here, complete."""
        try:
            entries = [HubFile.read(value) for value in json.loads(self._list.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError, AttributeError):
            return []
        return [entry for entry in entries if self.path(entry).exists()]

    def path(self, entry: HubFile) -> Path:
        """Where a file, or the folder of a checkpoint, is or would be."""
        return self._folder / entry.stored_as

    def here(self, reference: str) -> Path | None:
        """The file or folder that a reference names, if it is here; nobody is asked."""
        entry = self.entry(reference)
        return self.path(entry) if entry else None

    def entry(self, reference: str) -> HubFile | None:
        """What a reference names, if it is here; nobody is asked."""
        repo, file, revision = parse(reference)
        fetched_last_first = reversed(self.installed())
        return next(
            (e for e in fetched_last_first if e.repo == repo and file in (None, e.file) and e.answers_to(revision)), None
        )

    def look_up(self, reference: str) -> HubFile:
        """What the hub says of a reference now; nothing is fetched.

        Raises:
            NotFound: no such repository, file or revision, or not for this person. ModelError: the hub cannot be reached or
                says nonsense, or its checkpoint is none that QF Chat opens.
        """
        import httpx2  # what huggingface_hub speaks HTTP with
        from huggingface_hub import HfApi, constants
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )  # fmt: skip

        repo, file, revision = parse(reference)
        api = HfApi(endpoint=self._endpoint, library_name="qfchat")
        offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, False  # the person has asked for it
        try:
            info = api.model_info(repo, revision=revision, files_metadata=True, timeout=30)
        except GatedRepoError as error:
            raise NotFound(_refusal(repo)) from error
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            what = f" at {revision}" if revision else ""
            raise NotFound(f"The hub has no {repo}{what}, or not for everybody. Expected: {HOW}.") from error
        except (HfHubHTTPError, OfflineModeIsEnabled, OSError, httpx2.HTTPError) as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code in _REFUSED:
                raise NotFound(_refusal(repo)) from error
            raise ModelError(f"The hub cannot be reached: {error}. Installed files need no connection.") from error
        finally:
            constants.HF_HUB_OFFLINE = offline
        named = (revision,) if revision and info.sha and not info.sha.startswith(revision) else ()
        siblings = info.siblings or []
        if file is None and info.sha and not any(s.rfilename.endswith(".gguf") for s in siblings):
            parts = checkpoint_of(siblings, repo)
            parameters = info.safetensors.total if info.safetensors else 0
            size = sum(part.bytes for part in parts)
            return HubFile(repo, "", info.sha, size, "", named, parts, parameters)
        sibling = _choose(siblings, repo, file)
        sha256 = sibling.lfs.sha256 if sibling.lfs else ""
        if not info.sha or not sibling.size or not re.fullmatch(r"[0-9a-f]{64}", sha256 or ""):
            raise ModelError(f"The hub does not say size and SHA-256 of {sibling.rfilename}, so it cannot be checked.")
        return HubFile(repo, sibling.rfilename, info.sha, sibling.size, sha256, named)

    def fetch(
        self, entry: HubFile, on_progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> Path:
        """The complete, checked file or folder; what an interrupted download has is used.

        Raises:
            ModelError: the connection broke, a hash is not the hub's, or the checkpoint is none that QF Chat opens.
            NotFound: the hub gives it to others only. HomeError: no room. Cancelled.
        """
        path, tell = self.path(entry), on_progress or (lambda *_: None)
        if self._is_whole(entry, tell):
            self._keep(entry)
            return path
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(path.with_name(path.name + ".lock"), timeout=0):  # two that write one file would spoil it
                growing = path.with_name(path.name + GROWING)
                if entry.parts:
                    self._fetch_parts(entry, growing, tell, cancel)
                else:
                    self._fetch(entry, entry.whole, growing, tell, cancel)
                    growing.replace(path)
                    remember(path, entry.sha256, self._hashes)
        except Timeout as error:
            raise ModelError(f"{entry.title} is being fetched by another QF Chat. Wait for it, or stop it there.") from error
        except OSError as error:
            raise HomeError(f"{entry.title} cannot be stored in {self._folder} ({error.strerror or error}).") from error
        self._keep(entry)
        return path

    def _is_whole(self, entry: HubFile, tell: Progress) -> bool:
        path = self.path(entry)
        return all(self._is_good(path / p.file, p, tell) for p in entry.parts) if entry.parts else self._is_good(
            path, entry.whole, tell
        )

    def _is_good(self, path: Path, part: HubPart, tell: Progress) -> bool:
        """Whether a file that is here is the hub's."""
        if not path.is_file() or path.stat().st_size != part.bytes:
            return False
        return (sha256_of(path, self._hashes, tell) if part.is_large else hash_of(path, part)) == part.hash

    def _fetch_parts(self, entry: HubFile, growing: Path, tell: Progress, cancel: threading.Event | None) -> None:
        """Fetch a checkpoint into a folder that becomes its own when all of it is there and fits together."""
        path, done = self.path(entry), 0
        if path.is_dir():
            shutil.rmtree(growing, ignore_errors=True)
            path.rename(growing)  # parts of it were changed or lost; the others are used again
        growing.mkdir(exist_ok=True, mode=0o700)
        self._check_disk(entry.title, entry.bytes - sum(f.stat().st_size for f in growing.iterdir()))
        for part in sorted(entry.parts, key=lambda part: part.is_weights):  # weights last: the configuration may refuse them
            if part.is_weights:
                check_config(growing, called=entry.repo)

            def told(fraction: float, text: str, done: int = done, part: HubPart = part) -> None:
                tell((done + fraction * part.bytes) / max(entry.bytes, 1), text)

            target = growing / part.file
            if not self._is_good(target, part, told):
                target.unlink(missing_ok=True)
                coming = target.with_name(target.name + GROWING)
                self._fetch(entry, part, coming, told, cancel)
                coming.replace(target)
            done += part.bytes
        for left in growing.iterdir():
            if left.name not in {part.file for part in entry.parts}:
                left.unlink()
        check_checkpoint(growing)
        growing.rename(path)
        for part in entry.parts:
            if part.is_large:
                remember(path / part.file, part.hash, self._hashes)

    def _check_disk(self, title: str, missing: int) -> None:
        free, need = shutil.disk_usage(self._folder).free, missing + _RESERVE
        if free < need:
            raise HomeError(
                f"{title} needs {need / 1e9:.1f} GB more in {self._folder}, {free / 1e9:.1f} GB are free. "
                "Free some space or choose another home."
            )

    def _fetch(
        self, entry: HubFile, part: HubPart, growing: Path, tell: Progress, cancel: threading.Event | None
    ) -> None:
        """See that there is room, download, and check what came."""
        self._check_disk(part.file, part.bytes - (growing.stat().st_size if growing.is_file() else 0))
        self._download(entry, part, growing, tell, cancel)
        tell(0.99, f"Checking the {part.algorithm} of {part.file}")
        found = hash_of(growing, part)
        if found != part.hash:
            growing.unlink()
            raise ModelError(
                f"{part.file} has {part.algorithm} {found}, the hub says {part.hash}. It was deleted; fetch it anew."
            )

    def _download(
        self, entry: HubFile, part: HubPart, growing: Path, tell: Progress, cancel: threading.Event | None
    ) -> None:
        if growing.is_file() and growing.stat().st_size > part.bytes:
            growing.unlink()
        with growing.open("ab") as file:
            if file.tell() == part.bytes:
                return
            try:
                with httpx.stream("GET", **self._request(entry, part.file, file.tell())) as response:
                    if response.status_code in _REFUSED:
                        raise NotFound(_refusal(entry.repo))
                    response.raise_for_status()
                    if response.status_code != httpx.codes.PARTIAL_CONTENT:  # it sends the whole file
                        file.truncate(0)
                    for block in response.iter_raw(_BLOCK):
                        if cancel is not None and cancel.is_set():
                            raise Cancelled("Stopped. What was fetched is kept; start again to go on.")
                        file.write(block)
                        if (done := file.tell()) > part.bytes:
                            raise ModelError(f"The hub sends more than the {part.bytes:,} bytes that {part.file} has.")
                        so_far = f"{done / 1e6:,.0f} of {part.bytes / 1e6:,.0f} MB"
                        tell(0.98 * done / part.bytes, f"Fetching {part.file}: {so_far}")
            except httpx.HTTPError as error:
                raise ModelError(
                    f"{part.file} could not be fetched ({type(error).__name__}: {error}). What was fetched is kept; start "
                    "again to go on."
                ) from error
            if file.tell() < part.bytes:
                raise ModelError(f"The connection ended at {file.tell():,} of {part.bytes:,} bytes; start again to go on.")

    def _request(self, entry: HubFile, file: str, done: int) -> dict:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        headers = {**build_hf_headers(library_name="qfchat"), "Accept-Encoding": "identity"}
        if done:
            headers["Range"] = f"bytes={done}-"
        url = hf_hub_url(entry.repo, file, revision=entry.commit, endpoint=self._endpoint)
        return {"url": url, "headers": headers, "follow_redirects": True, "timeout": _TIMEOUT}

    @property
    def _hashes(self) -> Path:
        return self._folder / "sha256.json"

    @property
    def _list(self) -> Path:
        return self._folder / "hub.json"

    def _keep(self, entry: HubFile) -> None:
        entries = []
        for known in self.installed():
            if known.stored_as == entry.stored_as:
                entry = replace(entry, revisions=tuple(dict.fromkeys((*known.revisions, *entry.revisions))))
            elif (known.repo, known.file) == (entry.repo, entry.file):  # a branch that moved on
                entries.append(replace(known, revisions=tuple(r for r in known.revisions if r not in entry.revisions)))
            else:
                entries.append(known)
        growing = self._list.with_suffix(".new")
        growing.write_text(json.dumps([asdict(e) for e in (*entries, entry)], indent=1), encoding="utf-8")
        growing.replace(self._list)


def parse(reference: str) -> tuple[str, str | None, str | None]:
    """(repository, file or None, revision or None) of "hf:OWNER/NAME/FILE@REVISION".

    Raises:
        NotFound: it is written otherwise.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None or ".." in reference:
        raise NotFound(f"{reference!r} names no model of the hub. Expected: {HOW}.")
    return match["repo"], match["file"], match["revision"]


def _refusal(repo: str) -> str:
    """What is said when the hub answers 401 or 403, or that a repository is gated."""
    return (
        f"The hub gives {repo} only to people who accepted its terms, or were invited. Accept them on its page at the hub, "
        "make a token there that may read it, and set HF_TOKEN to the token."
    )


def _choose(siblings: list, repo: str, file: str | None):  # noqa: ANN202 - huggingface_hub's RepoSibling
    found = {s.rfilename: s for s in siblings if s.rfilename.endswith(".gguf")}
    if file in found and not _SPLIT.search(file):
        return found[file]
    if file in found or (file is None and found and all(_SPLIT.search(name) for name in found)):
        raise NotFound(f"{repo} has this model in several files, which is not supported. Choose one that is a single file.")
    single = [name for name in found if not _SPLIT.search(name)]
    if file is None and len(single) == 1:
        return found[single[0]]
    if not found:
        raise NotFound(f"{repo} holds no GGUF file. Choose a repository of GGUF files (often named NAME-GGUF).")
    names = ", ".join(sorted(single)[:20])
    wanted = f"{repo} holds no {file}" if file else f"{repo} holds several models"
    raise NotFound(f"{wanted}. Choose one of its files, as {PREFIX}{repo}/FILE: {names}.")
