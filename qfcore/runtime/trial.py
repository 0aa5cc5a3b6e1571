"""A model file of unknown origin is first opened in a child process: a GGUF parser in C++ is no door to leave open.

`python -m qfcore.runtime.trial MODEL.gguf` loads it and lets it say a few tokens. A file that crashes or hangs llama.cpp, or
takes more memory than the machine has, ends the child and not the app. What passed is remembered by its SHA-256.
"""

import json
import subprocess
import sys
from pathlib import Path

import psutil

from qfcore.errors import ModelError, QFError
from qfcore.runtime.protocol import Progress

SECONDS = 600.0
"""Longest time that loading and a few tokens may take."""
TOKENS = 4
_ROOM = 16 << 30
"""Address space beside the file and the machine's memory: libraries reserve much that they never use."""


def try_model(path: Path, sha256: str, remembered: Path, on_progress: Progress | None = None) -> None:
    """Open a model in a child process, unless this very file passed before.

    Raises:
        ModelError: the child crashed, hung, or could not load it.
    """
    passed = _read(remembered)
    if sha256 in passed:
        return
    if on_progress:
        on_progress(0.0, "Trying the model file in a process of its own (the first time only)")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "qfcore.runtime.trial", str(path)], capture_output=True, text=True, errors="replace",
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"Loading {path} took more than {SECONDS / 60:.0f} min. Choose a smaller model.") from error
    if done.returncode < 0 or done.returncode not in (0, ModelError.exit_code):
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise ModelError(f"llama.cpp crashed while opening {path} ({how}). The file is damaged; choose another one.")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise ModelError(f"The model file {path} cannot be used: {reason}")
    remembered.write_text(json.dumps(sorted({*passed, sha256})), encoding="utf-8")


def _read(remembered: Path) -> set[str]:
    try:
        return set(json.loads(remembered.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return set()


def _limit_memory(path: Path) -> None:
    """A file that claims absurd sizes ends this process early, before the machine runs out of memory."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = psutil.virtual_memory().total + path.stat().st_size + _ROOM
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def main() -> None:
    """The child: load the model and say a few tokens."""
    from qfcore.runtime.llama import LlamaRuntime

    _limit_memory(Path(sys.argv[1]))
    try:
        runtime = LlamaRuntime(Path(sys.argv[1]))
        runtime.complete_many([[{"role": "user", "content": "Hello"}]], max_tokens=TOKENS, adapter=None)
        runtime.close()
    except QFError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(ModelError.exit_code)


if __name__ == "__main__":
    main()
