"""Replay files are chosen by what versions name, healed from the shared copy, and watched by verify."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from qfcore import replay as module
from qfcore.errors import StoreCorrupt
from qfcore.replay import find_replay, heal_replays, load_or_make_replay, replay_problems


class _Model:
    """Answers the prompts of a replay; counts how often it was asked to."""

    def __init__(self) -> None:
        self.asked = 0

    def replay(self, _conversations: list, **_: object) -> tuple[np.ndarray, np.ndarray]:
        """Keys that depend on how often it was asked, as those of another build of llama.cpp do."""
        self.asked += 1
        return np.full((6, 4), self.asked, np.float32), np.arange(6) == 0


@pytest.fixture
def places(tmp_path: Path) -> tuple[_Model, Path, Path]:
    """A model, its store's folder, and the folder that its stores share."""
    (tmp_path / "store").mkdir()
    return _Model(), tmp_path / "store", tmp_path / "shared"


def flip(path: Path) -> None:
    """Change one bit of a key, so that the file still reads."""
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))


def test_it_is_made_once_and_named_by_its_hash(places: tuple) -> None:
    model, folder, shared = places
    made = load_or_make_replay(model, folder, shared, 3)
    assert load_or_make_replay(model, folder, shared, 3).digest == made.digest and model.asked == 1
    for place in (folder, shared):
        [path] = place.glob("replay-3-*.safetensors")
        assert path.stem.endswith(hashlib.sha256(path.read_bytes()).hexdigest()[:16])


def test_a_flipped_bit_is_healed_from_the_shared_copy(places: tuple) -> None:
    model, folder, shared = places
    made = load_or_make_replay(model, folder, shared, 3)
    [path] = folder.iterdir()
    flip(path)
    needed = {made.digest: [1, 2]}
    [problem] = replay_problems(needed, folder, shared)
    assert "versions 1 to 2" in problem and str(shared) in problem
    assert load_or_make_replay(model, folder, shared, 3, known=needed).digest == made.digest
    assert replay_problems(needed, folder, shared) == []
    flip(path)
    heal_replays(needed, folder, shared)
    assert replay_problems(needed, folder, shared) == []
    flip(path)
    assert find_replay(made.digest, folder, shared).digest == made.digest and model.asked == 1


def test_without_a_sound_copy_it_says_what_to_do(places: tuple) -> None:
    model, folder, shared = places
    made = load_or_make_replay(model, folder, shared, 3)
    for place in (folder, shared):
        flip(next(place.iterdir()))
    [problem] = replay_problems({made.digest: [4]}, folder, shared)
    assert "version 4" in problem and "restore-backup" in problem
    with pytest.raises(StoreCorrupt, match="restore-backup"):
        find_replay(made.digest, folder, shared)
    assert load_or_make_replay(model, folder, shared, 3, known={made.digest}).digest != made.digest  # new lessons go on


def test_other_prompts_leave_earlier_versions_solvable(places: tuple, tmp_path: Path, monkeypatch) -> None:  # noqa: ANN001
    model, folder, shared = places
    first = load_or_make_replay(model, folder, shared, 3)
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "replay_prompts.json").write_text('["Another prompt"]')
    monkeypatch.setattr(module, "assets_folder", lambda: assets)
    second = load_or_make_replay(model, folder, shared, 3, known={first.digest})
    assert second.digest != first.digest
    assert find_replay(first.digest, folder, shared).keys[0, 0] == first.keys[0, 0]


def test_the_file_of_an_earlier_program_is_found_by_what_versions_name(places: tuple) -> None:
    model, folder, shared = places
    made = load_or_make_replay(model, folder, shared, 3)
    for place in (folder, shared):  # names without a hash
        [path] = place.iterdir()
        path.rename(place / f"{path.stem[:-17]}.safetensors")
    assert load_or_make_replay(model, folder, shared, 3, known={made.digest}).digest == made.digest
    flip(next(folder.iterdir()))
    assert load_or_make_replay(model, folder, shared, 3, known={made.digest}).digest == made.digest
    assert model.asked == 1


def test_a_folder_that_cannot_be_written_does_not_stop_reading(places: tuple) -> None:
    model, folder, shared = places
    made = load_or_make_replay(model, folder, shared, 3)
    shutil.rmtree(folder)
    assert find_replay(made.digest, folder, shared).digest == made.digest


def test_keys_beyond_half_precision_stay_finite(places: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder, shared = places
    monkeypatch.setattr(model, "replay", lambda *_, **__: (np.full((6, 4), 1e6, np.float32), np.arange(6) == 0))
    assert np.isfinite(load_or_make_replay(model, folder, shared, 3).keys).all()
