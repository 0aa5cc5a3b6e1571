"""Records as lines of text for the command line. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qfcore.bulk import LessonState, Plan
    from qfcore.compare import Comparison
    from qfcore.engine import Origin
    from qfcore.evaluate import Report
    from qfcore.models.library import Listed
    from qfcore.store.records import LessonRecord, NamedVersion, VerifyReport, Version, VersionDiff


_CHANGES_SHOWN = 5
_BY = {"user": "by you", "api": "by a program, over HTTP", "bundle": "elsewhere (imported from a bundle)"}


def lesson_line(record: LessonRecord) -> str:
    """One lesson: number, beginning of its id, text."""
    return f"{record.number:4}  {record.id[:8]}  {record.lesson.text}"


def model_lines(model: Listed) -> list[str]:
    """One model: whether it is here, name, size, memory, what it is; and what is wrong with it."""
    mark = "✗" if model.problem else "✓" if model.installed else " "
    memory = f"{'about' if model.installed else 'at least'} {model.memory_bytes / 1e9:.1f} GB of memory"
    lacks = "" if model.fits else " (more than this computer has)"
    line = f"{mark} {model.name:20} {model.bytes / 1e6:7,.0f} MB, {memory}{lacks}  {model.title}; {model.purpose}"
    return [line, f"    damaged: {model.problem}"] if model.problem else [line]


def version_line(version: Version, *, live: bool) -> str:
    """One version: number, whether it is live, kind, number of lessons, time, message."""
    mark = "live" if live else "    "
    count = f"{len(version.entries)} lesson{'' if len(version.entries) == 1 else 's'}"
    return f"{version.number:4} {mark}  {version.kind:8} {count:12} {version.created_at[:19]}  {version.message}"


def change_lines(added: Sequence[str], removed: Sequence[str]) -> list[str]:
    """The lessons that a version added and removed, a few of them."""
    lines = []
    for mark, texts in (("+", added), ("-", removed)):
        lines += [f"          {mark} {text}" for text in texts[:_CHANGES_SHOWN]]
        if len(texts) > _CHANGES_SHOWN:
            lines.append(f"          {mark} and {len(texts) - _CHANGES_SHOWN} more (--json lists all)")
    return lines


def report_lines(report: Report) -> list[str]:
    """The report card in words."""
    heads = {
        "learned": "Learned.", "weak": "Learned in part: it does not answer every way of asking.",
        "failed": "NOT learned: it does not yet say what was taught.",
    }  # fmt: skip
    lines = [heads.get(report.status, "Nothing was asked.")]
    if report.loops:
        lines.append(f"! {report.loops[0].text}")
    elif report.softened:
        lines.append(report.softened_text)
    for asked in report.answers:
        lines += [
            f"  {'✓' if asked.ok else '✗'} {asked.question}",
            f"      before: {asked.before}",
            f"      now:    {asked.after}",
        ]
    for name, probes in (
        ("Same-subject", report.others), ("Neighbouring", report.neighbours), ("Unrelated", report.probes)
    ):
        changed = [probe for probe in probes if not probe.same]
        if probes:
            lines.append(f"{name} questions unchanged: {len(probes) - len(changed)} of {len(probes)}.")
        for probe in changed:
            lines += [f"  ~ {probe.question}", f"      before: {probe.before}", f"      now:    {probe.after}"]
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in report.seconds.items())
    return [*lines, f"Change of the weights: norm {report.change:.2f}, rank {report.rank}. Time: {seconds}."]


def name_line(name: NamedVersion) -> str:
    """A branch or a tag: which one is current, its name, its version."""
    return f"{'*' if name.current else ' '} {name.kind:7} {name.name:24} version {name.version}"


def origin_lines(origin: Origin) -> list[str]:
    """Who taught a lesson and when."""
    source = origin.record.lesson.source
    by = "from the file " + source.removeprefix("file:") if source.startswith("file:") else _BY.get(source, f"by {source}")
    when = f"on {origin.record.created_at[:19]}, version {origin.version.number}"
    return [lesson_line(origin.record), f"      taught {by} {when}"]


def diff_lines(diff: VersionDiff) -> list[str]:
    """Lessons that one version knows and the other does not, marked as diff does."""
    marks = (("+", diff.added), ("-", diff.removed), ("~", diff.observed_again))
    lines = [f"{mark} {lesson_line(record)}" for mark, records in marks for record in records]
    head = f"From version {diff.old.number} to version {diff.new.number}:"
    return [head, *(lines or ["  both know the same lessons."])]


def comparison_lines(comparison: Comparison) -> list[str]:
    """Lessons, weights and answers of two versions."""
    weights = comparison.weights
    layers = ", ".join(f"layer {layer}: {norm:.3f}" for layer, norm in weights.layers.items()) or "none"
    lines = [*diff_lines(comparison.lessons), f"Change of the weights: norm {weights.norm:.3f} ({layers})."]
    same = sum(answer.same for answer in comparison.answers)
    lines.append(f"Answers that are the same: {same} of {len(comparison.answers)}.")
    for answer in comparison.answers:
        if not answer.same:
            lines += [f"  ~ {answer.question}", f"      {comparison.lessons.old.number}: {answer.old}"]
            lines.append(f"      {comparison.lessons.new.number}: {answer.new}")
    return lines


def checked_line(checked: Mapping[str, int]) -> str:
    """What was checked, in numbers."""
    return ", ".join(f"{count} {name if count != 1 else name.removesuffix('s')}" for name, count in checked.items())


def verify_lines(report: VerifyReport) -> list[str]:
    """What was re-derived, and what did not match."""
    result = "all match" if report.ok else f"{len(report.problems)} problem{'' if len(report.problems) == 1 else 's'}"
    return [f"Checked {checked_line(report.checked)}: {result}.", *report.problems]


def plan_lines(plan: Plan, method: str) -> list[str]:
    """What a bulk teaching would do."""
    lines = [
        f"{len(plan.new)} new, {len(plan.resumed)} studied before, {len(plan.live)} live already; "
        f"about {max(1, round(plan.seconds(method) / 60))} min with the method {method}."
    ]
    for lesson, records in plan.conflicts:
        numbers = ", ".join(str(record.number) for record in records)
        lines.append(f"  ! “{lesson.text}” contradicts lesson {numbers}.")
    return lines


def states_lines(states: Sequence[LessonState], report: Report) -> list[str]:
    """What became of each lesson of a bulk teaching; those that went well are only counted."""
    ok = {answer.lesson: answer.ok for answer in report.answers}
    learned = sum(ok.values())
    lines = [f"{learned} of {len(states)} lessons learned."]
    for state in states:
        if state.refused:
            lines.append(f"  ✗ {state.state}: {state.lesson.text} ({state.detail})")
        elif not ok.get(state.lesson.id, False):
            lines.append(f"  ✗ not learned: {state.lesson.text}")
    changed = sum(not probe.same for probe in report.probes)
    return [*lines, f"Unrelated questions unchanged: {len(report.probes) - changed} of {len(report.probes)}."]


def form_lines(value: dict) -> list[str]:
    """How an exported model carries its lessons, and which it does not."""
    if value.get("form") != "reach":
        return []
    count = value["subjects"]
    return [
        f"Its lessons act where their subjects are asked about ({count} subject{'' if count == 1 else 's'}).",
        *(f"Not in the file, since what it is about could not be recognised: {text}" for text in value["missed"]),
        *(
            f"Its change was made smaller ({share:.0%}), since answers repeated themselves: {text}" if share
            else f"Not in the file, since answers repeat themselves with it: {text}"
            for text, share in value["softened"].items()
        ),
    ]
