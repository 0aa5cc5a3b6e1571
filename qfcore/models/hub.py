"""Model files from the Hugging Face hub: a pinned revision, resumed downloads, the hub's own SHA-256, room checked before.

huggingface_hub knows the hub's protocol and says what a file is; its downloads begin anew after an interruption (2.4), so
the bytes are fetched with httpx into a file that grows.
"""

import hashlib
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
from qfcore.models.fingerprint import remember, sha256_of

PREFIX = "hf:"
HOW = "hf:OWNER/NAME/FILE.gguf, with @REVISION at the end for another one than the newest"
_REFERENCE = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+?)(/(?P<file>[^@]+\.gguf))?(@(?P<revision>[\w./-]+))?", re.ASCII)
_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
_BLOCK = 1 << 20
_RESERVE = 256 << 20
_TIMEOUT = httpx.Timeout(30.0)

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class HubFile:
    """One file at one commit. sha256: 64 hex digits, as the hub says; bytes: its size.

    revisions: branches or tags by which it was asked for; they name this file until they are fetched anew.
    """

    repo: str
    file: str
    commit: str
    bytes: int
    sha256: str
    revisions: tuple[str, ...] = ()

    def answers_to(self, revision: str | None) -> bool:
        """Whether a revision (None: whatever was fetched last) is this one."""
        return revision is None or revision in self.revisions or self.commit.startswith(revision)

    @property
    def reference(self) -> str:
        """What names it for ever."""
        return f"{PREFIX}{self.repo}/{self.file}@{self.commit}"

    @property
    def stored_as(self) -> str:
        """Its file name in the models folder."""
        return f"{self.repo}--{self.commit[:12]}--{self.file}".replace("/", "--")


class Hub:
    """The hub, and the folder into which its files go.

    endpoint: another server that speaks the same protocol (None: HF_ENDPOINT, or the public hub).
    """

    def __init__(self, folder: Path, endpoint: str | None = None) -> None:
        self._folder, self._endpoint = folder, endpoint

    def installed(self) -> list[HubFile]:
        """Files that are here, complete."""
        try:
            values = json.loads(self._list.read_text(encoding="utf-8"))
            entries = [HubFile(**{**value, "revisions": tuple(value.get("revisions", ()))}) for value in values]
        except (OSError, ValueError, TypeError, AttributeError):
            return []
        return [entry for entry in entries if self.path(entry).is_file()]

    def path(self, entry: HubFile) -> Path:
        """Where a file is, or would be."""
        return self._folder / entry.stored_as

    def here(self, reference: str) -> Path | None:
        """The file that a reference names, if it is here; nobody is asked."""
        repo, file, revision = parse(reference)
        for entry in reversed(self.installed()):  # without a revision, the one fetched last
            if entry.repo == repo and file in (None, entry.file) and entry.answers_to(revision):
                return self.path(entry)
        return None

    def look_up(self, reference: str) -> HubFile:
        """What the hub says of a reference now; nothing is fetched.

        Raises:
            NotFound: no such repository, file or revision. ModelError: the hub cannot be reached or says nonsense.
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
            raise NotFound(f"{repo} is for people who accepted its terms. Accept them, then set HF_TOKEN.") from error
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            what = f" at {revision}" if revision else ""
            raise NotFound(f"The hub has no {repo}{what}, or not for everybody. Expected: {HOW}.") from error
        except (HfHubHTTPError, OfflineModeIsEnabled, OSError, httpx2.HTTPError) as error:
            raise ModelError(f"The hub cannot be reached: {error}. Installed files need no connection.") from error
        finally:
            constants.HF_HUB_OFFLINE = offline
        sibling = _choose(info.siblings or [], repo, file)
        sha256 = sibling.lfs.sha256 if sibling.lfs else ""
        if not info.sha or not sibling.size or not re.fullmatch(r"[0-9a-f]{64}", sha256 or ""):
            raise ModelError(f"The hub does not say size and SHA-256 of {sibling.rfilename}, so it cannot be checked.")
        named = (revision,) if revision and not info.sha.startswith(revision) else ()
        return HubFile(repo, sibling.rfilename, info.sha, sibling.size, sha256, named)

    def fetch(
        self, entry: HubFile, on_progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> Path:
        """The complete, checked file; what an interrupted download has is used.

        Raises:
            ModelError: the connection broke, or the SHA-256 is not the hub's. HomeError: no room. Cancelled.
        """
        path, tell = self.path(entry), on_progress or (lambda *_: None)
        cache = self._folder / "sha256.json"
        if path.is_file() and path.stat().st_size == entry.bytes and sha256_of(path, cache, tell) == entry.sha256:
            self._keep(entry)
            return path
        growing = path.with_name(path.name + ".fetching")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(path.with_name(path.name + ".lock"), timeout=0):  # two that write one file would spoil it
                self._fetch(entry, growing, tell, cancel)
                growing.replace(path)
                remember(path, entry.sha256, cache)
        except Timeout as error:
            raise ModelError(f"{entry.file} is being fetched by another QF Chat. Wait for it, or stop it there.") from error
        except OSError as error:
            raise HomeError(f"{entry.file} cannot be stored in {self._folder} ({error.strerror or error}).") from error
        self._keep(entry)
        return path

    def _fetch(self, entry: HubFile, growing: Path, tell: Progress, cancel: threading.Event | None) -> None:
        """See that there is room, download, and check what came."""
        done = growing.stat().st_size if growing.is_file() else 0
        free, need = shutil.disk_usage(self._folder).free, entry.bytes - done + _RESERVE
        if free < need:
            raise HomeError(
                f"{entry.file} needs {need / 1e9:.1f} GB more in {self._folder}, {free / 1e9:.1f} GB are free. "
                "Free some space or choose another home."
            )
        self._download(entry, growing, tell, cancel)
        tell(0.99, "Checking the file's SHA-256")
        with growing.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != entry.sha256:
            growing.unlink()
            raise ModelError(
                f"{entry.file} has SHA-256 {found}, the hub says {entry.sha256}. It was deleted; fetch it anew."
            )

    def _download(self, entry: HubFile, growing: Path, tell: Progress, cancel: threading.Event | None) -> None:
        if growing.is_file() and growing.stat().st_size > entry.bytes:
            growing.unlink()
        with growing.open("ab") as file:
            if file.tell() == entry.bytes:
                return
            try:
                with httpx.stream("GET", **self._request(entry, file.tell())) as response:
                    response.raise_for_status()
                    if response.status_code != httpx.codes.PARTIAL_CONTENT:  # it sends the whole file
                        file.truncate(0)
                    for block in response.iter_raw(_BLOCK):
                        if cancel is not None and cancel.is_set():
                            raise Cancelled("Stopped. What was fetched is kept; start again to go on.")
                        file.write(block)
                        if (done := file.tell()) > entry.bytes:
                            raise ModelError(f"The hub sends more than the {entry.bytes:,} bytes that {entry.file} has.")
                        so_far = f"{done / 1e6:,.0f} of {entry.bytes / 1e6:,.0f} MB"
                        tell(0.98 * done / entry.bytes, f"Fetching {entry.file}: {so_far}")
            except httpx.HTTPError as error:
                raise ModelError(
                    f"{entry.file} could not be fetched ({type(error).__name__}: {error}). What was fetched is kept; start "
                    "again to go on."
                ) from error
            if file.tell() < entry.bytes:
                raise ModelError(f"The connection ended at {file.tell():,} of {entry.bytes:,} bytes; start again to go on.")

    def _request(self, entry: HubFile, done: int) -> dict:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        headers = {**build_hf_headers(library_name="qfchat"), "Accept-Encoding": "identity"}
        if done:
            headers["Range"] = f"bytes={done}-"
        url = hf_hub_url(entry.repo, entry.file, revision=entry.commit, endpoint=self._endpoint)
        return {"url": url, "headers": headers, "follow_redirects": True, "timeout": _TIMEOUT}

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
        raise NotFound(f"{reference!r} names no file of the hub. Expected: {HOW}.")
    return match["repo"], match["file"], match["revision"]


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
