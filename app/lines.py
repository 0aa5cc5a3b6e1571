"""Records as lines of text for the command line. Pure functions."""

from qfcore.evaluate import Report
from qfcore.store.records import LessonRecord, Version


def lesson_line(record: LessonRecord) -> str:
    """One lesson: number, beginning of its id, text."""
    return f"{record.number:4}  {record.id[:8]}  {record.lesson.text}"


def version_line(version: Version, *, live: bool) -> str:
    """One version: number, whether it is live, kind, number of lessons, time, message."""
    mark = "live" if live else "    "
    count = f"{len(version.entries)} lesson{'' if len(version.entries) == 1 else 's'}"
    return f"{version.number:4} {mark}  {version.kind:8} {count:12} {version.created_at[:19]}  {version.message}"


def report_lines(report: Report) -> list[str]:
    """The report card in words."""
    lines = ["Learned." if report.learned else "NOT learned: it does not yet say what was taught."]
    for asked in report.answers:
        lines += [
            f"  {'✓' if asked.ok else '✗'} {asked.question}",
            f"      before: {asked.before}",
            f"      now:    {asked.after}",
        ]
    changed = [probe for probe in report.probes if not probe.same]
    lines.append(f"Unrelated questions unchanged: {len(report.probes) - len(changed)} of {len(report.probes)}.")
    for probe in changed:
        lines += [f"  ~ {probe.question}", f"      before: {probe.before}", f"      now:    {probe.after}"]
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in report.seconds.items())
    return [*lines, f"Change of the weights: norm {report.change:.2f}, rank {report.rank}. Time: {seconds}."]
