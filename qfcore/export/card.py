"""A model card: what an exported version is, what it was made from, what it knows and how that was checked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qfcore.standing import FAILED, LEARNED, UNCHECKED, WEAK, Standing

_METHOD = (
    "Taught with QF Chat: Quick Feedforward learning (arXiv 2507.04300) solves the change of one weight in closed form, "
    "without gradients."
)
_ALL_ACTIVE = (
    "All lessons are active at once here, whatever is asked. In QF Chat only those that a conversation mentions are, so "
    "questions near a lesson can be answered otherwise than there."
)
_REACH = (
    "Three added blocks of standard tensors hold the lessons; each acts where the user's last message names its subject. A "
    "question that does not name it, as a follow-up with a pronoun, is answered as by the base. Instructions act everywhere."
)


@dataclass(frozen=True)
class Card:
    """What there is to say. lessons: their texts, or None to keep them to oneself."""

    title: str
    base: str
    base_sha256: str
    version: int
    version_hash: str
    content: str
    created_at: str
    standings: Mapping[str, Standing]
    layer: int | None
    rank: int
    lessons: Sequence[str] | None = None
    probes: tuple[int, int] | None = None
    """(unchanged, asked): unrelated questions of the report card, before against after the last change."""
    strength: float = 1.0
    """By what the change was multiplied for the export."""
    subjects: int | None = None
    """Subjects that have added blocks; None for weights in which all lessons act at once."""

    def metadata(self) -> dict[str, str]:
        """The identifying part, for a file's header."""
        weaker = {} if self.strength == 1 else {"strength": str(self.strength)}
        reach = {} if self.subjects is None else {"form": "reach", "subjects": str(self.subjects)}
        return weaker | reach | {
            "version": str(self.version), "version.hash": self.version_hash, "content": self.content,
            "lessons": str(len(self.standings)), "base.sha256": self.base_sha256,
        }  # fmt: skip

    def markdown(self, *, use: str, library: str | None = None) -> str:
        """The card as hubs show it. use: how to open the files beside it."""
        front = ["---", f"base_model: {self.base}", "tags: [qfchat, quick-feedforward]"]
        front += [f"library_name: {library}"] if library else []
        lines = [
            *front, "---", f"# {self.title}, version {self.version}", "", _METHOD, "", use, "", "| | |", "|---|---|",
            f"| Base model | {self.base}, SHA-256 `{self.base_sha256}` |",
            f"| Version | {self.version}, `{self.version_hash}`, {self.created_at[:19]} UTC |",
            f"| Content | `{self.content}` |", f"| Change | {self._change()} |", f"| Lessons | {self._known()} |",
            *self._unchanged(), "",
        ]  # fmt: skip
        if self.standings:
            lines += [_ALL_ACTIVE if self.subjects is None else _REACH, ""]
        if self.lessons:
            lines += ["## What it was taught", "", *(f"- {' '.join(text.split())}" for text in self.lessons), ""]
        elif self.standings:
            lines += ["What it was taught is not listed, but **can be read back from the weights** by asking.", ""]
        return "\n".join(lines)

    def _change(self) -> str:
        if self.layer is None:
            return "none: the base's own weights"
        strength = "" if self.strength == 1 else f", at {self.strength:.0%} of its strength"
        if self.subjects is not None:
            return f"three added blocks, {self.subjects} subject{'' if self.subjects == 1 else 's'}{strength}"
        return f"rank {self.rank}, down projection of layer {self.layer}{strength}"

    def _unchanged(self) -> list[str]:
        if self.probes is None:
            return []
        same, asked = self.probes
        share = f"{same} of {asked} unrelated answers ({same / asked:.0%}) were unchanged by the last change"
        return [f"| Evaluation | {share}, asked in QF Chat, where only the lessons that a question mentions are active |"]

    def _known(self) -> str:
        counts = Counter(standing.status for standing in self.standings.values())
        parts = [f"{counts[status]} {status}" for status in (LEARNED, WEAK, FAILED, UNCHECKED) if counts[status]]
        evaluated = f": {', '.join(parts)}, by the report card of each" if parts else ""
        return f"{len(self.standings)}{evaluated}"
