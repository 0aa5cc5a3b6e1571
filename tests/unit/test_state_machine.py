"""Random histories against a plain model of them: sets of texts, a list of versions, a dictionary of names.

`QFCHAT_SOAK=1` makes them many and long.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from qfcore.errors import NameRefused
from qfcore.store.bundle import read_bundle
from qfcore.store.store import Store
from tests.conftest import IDENTITY, forget, make_pending, teach
from tests.soaking import SOAK

TEXTS = ["A.", "B.", "C.", "D.", "E."]


class Histories(RuleBasedStateMachine):
    """Teach, forget, restore, name, switch, erase, reopen and move; after each step the store says what the model says."""

    versions = Bundle("versions")
    branches = Bundle("branches")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="qfchat-states-"))
        self.place = self.folder / "0"
        self.store = Store.open(self.place, IDENTITY)
        self.known: list[frozenset[str]] = [frozenset()]
        self.names = {"main": 0}
        self.tags: set[str] = set()
        self.live, self.branch = 0, "main"
        self.contents: dict[frozenset[str], str] = {}
        self.count = 0

    def _made(self, known: frozenset[str]) -> int:
        self.known.append(known)
        self.live = self.names[self.branch] = len(self.known) - 1
        return self.live

    @rule(target=versions, which=st.sets(st.sampled_from(TEXTS), min_size=1))
    def teach(self, which: set[str]) -> int:
        teach(self.store, *sorted(which))
        return self._made(self.known[self.live] | which)

    @rule(target=versions, text=st.sampled_from(TEXTS))
    def forget(self, text: str) -> int:
        forget(self.store, text)
        return self._made(self.known[self.live] - {text})

    @rule(target=versions, number=versions)
    def restore(self, number: int) -> int:
        self.store.restore(number)
        return self._made(self.known[number])

    @rule(target=branches, number=versions, name=st.sampled_from(["work", "home", "trial"]))
    def make_branch(self, number: int, name: str) -> str:
        if name in self.names:
            try:
                self.store.names.branch(name, number)
            except NameRefused:
                return name
            raise AssertionError("a taken name was given again")
        self.store.names.branch(name, number)
        self.names[name] = number
        return name

    @rule(number=versions, name=st.sampled_from(["one", "two"]))
    def make_tag(self, number: int, name: str) -> None:
        if name in self.names:
            self.store.names.delete(name)
        self.store.names.tag(name, number)
        self.names[name] = number
        self.tags.add(name)

    @rule(name=branches)
    def switch(self, name: str) -> None:
        self.store.names.switch(name)
        self.branch, self.live = name, self.names[name]

    @rule(text=st.sampled_from(TEXTS))
    def erase(self, text: str) -> None:
        lesson_id = make_pending(text).lesson.id
        if lesson_id not in {r.id for r in self.store.lessons()}:
            return
        knew = sum(text in known for known in self.known)
        assert self.store.erase(lesson_id) == knew
        self.known = [known - {text} for known in self.known]
        self._made(self.known[self.live])

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.place, IDENTITY)

    @precondition(lambda self: len(self.known) > 1)
    @rule()
    def move_to_another_machine(self) -> None:
        self.count += 1
        path = self.folder / f"{self.count}.qfbundle"
        self.store.write_bundle(path)
        self.store.close()
        self.place = self.folder / str(self.count)
        self.store = Store.open(self.place, IDENTITY)
        self.store.adopt(read_bundle(path))

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        if not hasattr(self, "store"):
            return
        versions = self.store.versions()
        assert [v.number for v in versions] == list(range(len(self.known)))[::-1]
        assert self.store.live().number == self.live
        assert {n.name: n.version for n in self.store.names.all()} == self.names
        assert [n.name for n in self.store.names.all() if n.current] == [self.branch]
        for version in versions:
            known = self.known[version.number]
            assert {r.lesson.text for r in self.store.lessons(version)} == known
            assert self.contents.setdefault(known, version.content) == version.content
        report = self.store.verify()
        assert report.ok, report.problems

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=400 if SOAK else 8, stateful_step_count=50 if SOAK else 20, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
