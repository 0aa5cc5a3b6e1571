"""What the fault tests do in processes that may be killed: `python -m tests.faults.worker MODE FOLDER`.

nursery: imports everything once, then forks a child for each line `MODE FOLDER` on stdin and prints its process id; the
child writes each acknowledgement to FOLDER/acks with one system call after the work came back, and FOLDER/failed if it ends.
"""

import ctypes
import errno
import json
import os
import shutil
import sys
import traceback
from pathlib import Path

from qfcore.errors import QFError, StoreBusy
from qfcore.store.store import Store
from tests.conftest import IDENTITY, SMALL, open_engine, teach
from tests.faults.scenarios import SCENARIOS
from tests.soaking import SOAK

FAILURES = ((errno.ENOSPC, 1), (errno.EIO, 0), (errno.ENOSPC, 0), (errno.EIO, 1))
"""(error, whether all later operations fail too)."""


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
    from qfcore.evaluate import Report
    from qfcore.lesson import check_lesson
    from qfcore.recipe import FAST
    from qfcore.teach import Preview

    engine = open_engine(folder, SMALL)
    acknowledge(folder, "open")
    engine.recipe = FAST
    number = engine.store.live().number
    while True:
        number += 1
        text = f"Station {number} is led by Dr. Karlsen {number}."
        learned = engine.teacher.learn([check_lesson(text, f"Who leads station {number}?")], FAST)
        report = Report(
            learned=True, answers=(), probes=(), change=learned.change, rank=0, taught_positions=0, lessons=number
        )
        engine.apply(
            Preview(
                pending=learned.pending, keep=learned.keep, replaced=(), solve=learned.solve, report=report,
                based_on=learned.live.number,
            )  # fmt: skip
        )
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
        kind, _, name = mode.partition(":")
        if name:
            SCENARIOS[name].ready()
        child = os.fork()
        if child == 0:
            try:
                work = {"commit": commit, "learn": learn, "export": export, "repeat": repeat, "fail-each": fail_each}[kind]
                work(Path(folder), *([name] if name else []))
            except BaseException:
                (Path(folder) / "failed").write_text(traceback.format_exc())
                raise
            finally:
                os._exit(70)
        print(child, flush=True)
    os._exit(0)  # unloading torch takes seconds


def repeat(folder: Path, name: str) -> None:
    """Do what a scenario does again and again, each time in a home of its own."""
    number = len(list(folder.glob("home-*")))
    before = folder / f"before-{os.getpid()}"
    SCENARIOS[name]().make(before)
    acknowledge(folder, "open")
    while True:
        home, number = folder / f"home-{number:04}", number + 1
        scenario = SCENARIOS[name]()
        shutil.copytree(before, home)
        scenario.begin(home)
        acknowledge(folder, f"begun {home.name}")
        scenario.act(home)
        acknowledge(folder, f"done {home.name}")
        scenario.release()


def fail_each(folder: Path, name: str) -> None:
    """Under the shim: fail the n-th operation of a scenario, for n = 1, 2, … until none is left, in several ways."""
    shim = ctypes.CDLL(None)
    shim.qf_disarm.restype = ctypes.c_long
    shim.qf_arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int)
    tried = refused = 0
    home, before = folder / "home", folder / "before"
    SCENARIOS[name]().make(before)
    kinds = 4 if SOAK or name == "commit" else 2
    stride = 1 if SOAK else SCENARIOS[name].stride
    acknowledge(folder, "open")
    for kind, (error, for_ever) in enumerate(FAILURES[:kinds]):
        number, reached = 1 + kind % stride, True
        while reached:
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(before, home)
            scenario = SCENARIOS[name]()
            scenario.begin(home)
            shim.qf_arm(b"/home", number, error, for_ever)
            acknowledged = True
            try:
                scenario.act(home)
            except QFError as failed:
                acknowledged = False
                refused += 1
                assert "Traceback" not in str(failed) and len(str(failed)) > 20
            finally:
                reached = shim.qf_disarm() >= number
            scenario.release()
            scenario.check(home, acknowledged)
            tried, number = tried + 1, number + stride
    acknowledge(folder, json.dumps({"tried": tried, "refused": refused, "kinds": kinds, "stride": stride}))


def main() -> None:
    """Run one mode."""
    mode, *arguments = sys.argv[1:]
    if mode == "nursery":
        nursery()
    elif mode == "hammer":
        hammer(Path(arguments[0]), arguments[1], int(arguments[2]))


if __name__ == "__main__":
    main()
