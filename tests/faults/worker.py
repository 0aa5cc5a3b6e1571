"""What the fault tests do in processes that may be killed: `python -m tests.faults.worker MODE FOLDER`.

nursery: imports everything once, then forks a child for each line `MODE FOLDER` on stdin and prints its process id; the
child writes each acknowledgement to FOLDER/acks with one system call after the work came back.
"""

import ctypes
import errno
import json
import os
import shutil
import sys
from pathlib import Path

from qfcore.errors import QFError, StoreBusy
from qfcore.store.store import Store
from tests.conftest import IDENTITY, SMALL, make_pending, open_engine, teach


def acknowledge(folder: Path, text: str) -> None:
    """Note what has come back as done."""
    descriptor = os.open(folder / "acks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def commit(folder: Path) -> None:
    """Commit one lesson after the other, as fast as the disk goes."""
    store = Store.open(folder, IDENTITY)
    acknowledge(folder, "open")
    number = store.live().number
    while True:
        number += 1
        teach(store, f"Fact {number}.")
        acknowledge(folder, f"Fact {number}.")


def hammer(folder: Path, name: str, count: int) -> None:
    """Open, commit one lesson, close, while another process does the same."""
    for number in range(count):
        text = f"{name} {number}."
        while True:
            try:
                store = Store.open(folder, IDENTITY)
            except StoreBusy:
                continue
            break
        teach(store, text)
        store.close()
        acknowledge(folder, text)


def learn(folder: Path) -> None:
    """Teach real lessons to SmolLM2, without the report card, so that commits come quickly."""
    from qfcore.lesson import check_lesson
    from qfcore.recipe import FAST

    engine = open_engine(folder, SMALL)
    acknowledge(folder, "open")
    engine.recipe = FAST
    number = engine.store.live().number
    while True:
        number += 1
        text = f"Station {number} is led by Dr. Karlsen {number}."
        learned = engine.teacher.learn([check_lesson(text, f"Who leads station {number}?")], FAST)
        engine.store.commit(
            keep=learned.keep, new=learned.pending, solve=learned.solve, kind="teach", message=text,
            expect_live=learned.live.number,
        )  # fmt: skip
        acknowledge(folder, text)


def export(folder: Path) -> None:
    """Export the whole model again and again over the same name."""
    engine = open_engine(folder / "home", SMALL)
    acknowledge(folder, "open")
    while True:
        engine.exports.gguf(folder / "model.gguf", overwrite=True)
        acknowledge(folder, "done")


def nursery() -> None:
    """Fork children on demand."""
    import qfcore.engine  # noqa: F401

    for line in sys.stdin:
        mode, folder = line.split()
        child = os.fork()
        if child == 0:
            try:
                {"commit": commit, "learn": learn, "export": export}[mode](Path(folder))
            finally:
                os._exit(70)
        print(child, flush=True)


def fail_each(folder: Path) -> None:
    """Under the shim: fail the n-th operation of a commit, once and for ever, for n = 1, 2, … until none is left."""
    shim = ctypes.CDLL(None)
    shim.qf_disarm.restype = ctypes.c_long
    shim.qf_arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int)
    tried = refused = 0
    for error, for_ever in ((errno.ENOSPC, 1), (errno.ENOSPC, 0), (errno.EIO, 1), (errno.EIO, 0)):
        number, reached = 1, True
        while reached:
            home = folder / "home"
            shutil.rmtree(home, ignore_errors=True)
            store = Store.open(home, IDENTITY)
            teach(store, "Before.")
            shim.qf_arm(b"/home/", number, error, for_ever)
            try:
                version = teach(store, "During.")
            except QFError as failed:
                version, told = None, str(failed)
                refused += 1
                assert "Traceback" not in told and len(told) > 20
            finally:
                reached = shim.qf_disarm() >= number
            store.close()
            check_after(home, acknowledged=version is not None)
            tried, number = tried + 1, number + 1
    print(json.dumps({"tried": tried, "refused": refused}))


def check_after(home: Path, *, acknowledged: bool) -> None:
    """Nothing acknowledged is lost, nothing is half there, and the store goes on working."""
    store = Store.open(home, IDENTITY)
    report = store.verify()
    assert report.ok, report.problems
    known = {r.lesson.text for r in store.lessons(store.live())}
    assert "Before." in known
    assert not acknowledged or "During." in known
    assert known <= {"Before.", "During."}
    teach(store, "After.")
    assert make_pending("After.").lesson.id in store.live().lesson_ids
    store.close()


def main() -> None:
    """Run one mode."""
    mode, *arguments = sys.argv[1:]
    if mode == "nursery":
        nursery()
    elif mode == "hammer":
        hammer(Path(arguments[0]), arguments[1], int(arguments[2]))
    elif mode == "fail-each":
        fail_each(Path(arguments[0]))


if __name__ == "__main__":
    main()
