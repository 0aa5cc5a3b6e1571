"""Versions, their names and their differences."""

from app import words
from app.present.common import buttons, count, escape, note, short, table
from qfcore.compare import Comparison
from qfcore.store.records import NamedVersion, Version, VersionDiff


def timeline(versions: list[Version], live: int, counts: dict[int, tuple[int, int]], names: list[NamedVersion]) -> str:
    """Versions, newest first; counts: version → lessons added and removed. A click on one chooses it."""
    rows = []
    for version in versions:
        added, removed = counts.get(version.number, (0, 0))
        change = " ".join(filter(None, (f"+{added}" if added else "", f"−{removed}" if removed else "")))
        mark = f' <span class="qf-pill">{escape(words.LIVE_PILL)}</span>' if version.number == live else ""
        mark += "".join(
            f' <span class="qf-name{" qf-here" if n.current else ""}">{escape(n.name)}</span>'
            for n in names if n.version == version.number
        )  # fmt: skip
        rows.append(
            f'<li class="{"qf-now" if version.number == live else ""}"><div>'
            f'<button class="qf-link" data-action="choose" data-version="{version.number}">Version {version.number}</button>'
            f"{mark} "
            f'<span class="qf-kind">{escape(words.KIND.get(version.kind, version.kind))}</span> '
            f'<span class="qf-quiet">{version.created_at[:16].replace("T", " ")} UTC · '
            f"{count(len(version.entries))} {change}</span></div><div>{escape(version.message)}</div></li>"
        )
    return f'<ol class="qf-timeline">{"".join(rows)}</ol>'


def lesson_counts(versions: list[Version]) -> dict[int, tuple[int, int]]:
    """For each version, lessons added and removed against its parent."""
    sets = {v.number: set(v.lesson_ids) for v in versions}
    return {
        v.number: (len(sets[v.number] - sets[v.parent]), len(sets[v.parent] - sets[v.number]))
        for v in versions
        if v.parent in sets
    }


def version_choices(versions: list[Version], live: int) -> list[tuple[str, int]]:
    """Versions as (label, number)."""
    return [(f"{v.number}{' (live)' if v.number == live else ''} · {short(v.message)}", v.number) for v in versions]


def name_list(names: list[NamedVersion]) -> str:
    """Branches and tags with their buttons."""
    if not names:
        return f'<p class="qf-quiet">{escape(words.NO_NAMES)}</p>'
    rows = []
    for n in names:
        actions = [("switch", words.SWITCH_TO)] if n.kind == "branch" and not n.current else []
        actions += [] if n.current else [("delete", words.DELETE_NAME)]
        here = f" · {words.CURRENT}" if n.current else ""
        rows.append(
            f"<tr><td><strong>{escape(n.name)}</strong></td><td>{n.kind}{here}</td><td>version {n.version}</td>"
            f"<td>{buttons(n.name, 'name', n.name, actions)}</td></tr>"
        )
    return table((), rows)


def lessons_diff(diff: VersionDiff) -> str:
    """Lessons that one version knows and the other does not."""
    marks = (("+", "qf-good", diff.added), ("−", "qf-bad", diff.removed), ("~", "qf-quiet", diff.observed_again))
    rows = "".join(
        f'<li class="{tone}"><strong>{mark}</strong> {escape(r.lesson.text)}</li>'
        for mark, tone, records in marks for r in records
    )  # fmt: skip
    return f'<ul class="qf-diff">{rows}</ul>' if rows else f'<p class="qf-quiet">{escape(words.SAME_LESSONS)}</p>'


def answers_diff(comparison: Comparison) -> str:
    """What two versions say; differences are marked."""
    old, new = comparison.lessons.old.number, comparison.lessons.new.number
    rows = (
        f'<tr class="{"" if a.same else "qf-changed"}"><td>{escape(a.question)}</td><td>{escape(a.old)}</td>'
        f"<td>{escape(a.new) if not a.same else '<span class=qf-quiet>the same</span>'}</td></tr>"
        for a in comparison.answers
    )
    same = sum(a.same for a in comparison.answers)
    told = f"<p>{same} of {len(comparison.answers)} answers are the same.</p>"
    return told + table(("Question", f"Version {old}", f"Version {new}"), rows)


def weights_text(comparison: Comparison) -> str:
    """The change of the weights in one sentence."""
    weights = comparison.weights
    layers = ", ".join(f"layer {layer}" for layer in weights.layers) or "no layer"
    old, new = weights.ranks
    return note(words.WEIGHTS_TEXT.format(norm=weights.norm, layers=layers, old=old, new=new))
