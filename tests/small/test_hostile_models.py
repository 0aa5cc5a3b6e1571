"""A real model file, bent: every mutation is refused in words, or harmless; none takes the app down with it."""

import random
import shutil
from pathlib import Path

import pytest

from qfcore.errors import ModelError
from qfcore.gguf_file.header import check_gguf
from qfcore.runtime.trial import try_model
from tests.soaking import SOAK

pytestmark = pytest.mark.small



@pytest.mark.timeout(7200)
def test_mutations_of_a_real_header(small_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "bent.gguf"
    shutil.copy(small_model, path)
    choose = random.Random(20261124)
    header = min(place.offset for place in check_gguf(small_model).tensors.values())
    refused, passed = 0, []
    with path.open("r+b") as file:
        for _ in range(2000 if SOAK else 120):  # a header of megabytes, read each time
            position = choose.randrange(24, 4096) if choose.random() < 0.7 else choose.randrange(24, header)
            file.seek(position)
            old = file.read(8)
            new = bytes(choose.choice([0, 0xFF, 0x7F, byte ^ 1 << choose.randrange(8)]) for byte in old)
            file.seek(position)
            file.write(new)
            file.flush()
            try:
                check_gguf(path)
                passed.append((position, new))
            except ModelError as error:
                assert len(str(error)) > 20
                refused += 1
            file.seek(position)
            file.write(old)
            file.flush()
    tried = crashed = 0
    for position, new in choose.sample(passed, min(len(passed), 100 if SOAK else 6)):
        shutil.copy(small_model, path)
        with path.open("r+b") as file:
            file.seek(position)
            file.write(new)
        tried += 1
        try:
            try_model(path, f"mutant {position}", tmp_path / "tried.json")
        except ModelError as error:
            crashed += "crashed" in str(error)
    print(f"{refused} refused by the check, {len(passed)} passed it; of {tried} opened in a child {crashed} crashed it")
    assert refused


def test_a_file_that_passed_is_not_tried_again(small_model: Path, tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        try_model(small_model, "ab" * 32, tmp_path / "tried.json", lambda _f, text: told.append(text))
    assert len(told) == 1
