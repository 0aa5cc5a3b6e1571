"""Versions, their names and their differences."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from app import words
from app.present.common import PAGE, and_more, buttons, count, escape, marked, note, paged, short, table
from qfcore.compare import TwoAnswers, WeightsDiff
from qfcore.standing import Point
from qfcore.store.records import LessonRecord, NamedVersion, Version, VersionDiff

NAMED = 3
"""Lessons that are named where a restore is explained; the others are counted."""
ALIKE = 0.5
"""Share of common words from which a lesson that went and one that came are shown as a correction."""


def timeline(
    versions: list[Version], live: int, counts: dict[int, tuple[int, int]], names: list[NamedVersion], pages: int = 1
) -> str:
    """Versions, newest first; counts: version → lessons added and removed. A click on one chooses it."""
    rows = []
    for version in versions[: pages * PAGE]:
        added, removed = counts.get(version.number, (0, 0))
        change = " ".join(filter(None, (f"+{added}" if added else "", f"−{removed}" if removed else "")))
        mark = f' <span class="qf-pill">{escape(words.LIVE_PILL)}</span>' if version.number == live else ""
        mark += "".join(
            f' <span class="qf-name{" qf-here" if n.current else ""}">{escape(n.name)}</span>'
            for n in names if n.version == version.number
        )  # fmt: skip
        rows.append(
            f'<li class="{"qf-now" if version.number == live else ""}"><div>'
            f'<button class="qf-link" data-action="choose" data-version="{version.number}">'
            f"{escape(words.VERSION_N.format(number=version.number))}</button>"
            f"{mark} "
            f'<span class="qf-kind">{escape(words.KIND.get(version.kind, version.kind))}</span> '
            f'<span class="qf-quiet">{escape(words.UTC.format(at=version.created_at[:16].replace("T", " ")))} · '
            f"{count(len(version.entries))} {change}</span></div><div>{escape(version.message)}</div></li>"
        )
    return paged(f'<ol class="qf-timeline">{"".join(rows)}</ol>', len(versions), pages)


def lesson_counts(versions: list[Version], pages: int = 1) -> dict[int, tuple[int, int]]:
    """For each version of the first pages, lessons added and removed against its parent."""
    known, counts = {v.number: v for v in versions}, {}
    for version in versions[: pages * PAGE]:
        if version.parent in known:
            now, before = set(version.lesson_ids), set(known[version.parent].lesson_ids)
            counts[version.number] = len(now - before), len(before - now)
    return counts


def version_choices(versions: list[Version], live: int) -> list[tuple[str, int]]:
    """Versions as (label, number)."""
    here = f" ({words.LIVE_PILL.lower()})"
    return [(f"{v.number}{here if v.number == live else ''} · {short(v.message)}", v.number) for v in versions]


def name_list(names: list[NamedVersion]) -> str:
    """Branches and tags with their buttons."""
    if not names:
        return f'<p class="qf-quiet">{escape(words.NO_NAMES)}</p>'
    rows = []
    for n in names:
        actions = [("switch", words.SWITCH_TO)] if n.kind == "branch" and not n.current else []
        actions += [] if n.current else [("delete", words.DELETE_NAME)]
        here = f" · {words.CURRENT}" if n.current else ""
        kind, version = words.NAME_KINDS.get(n.kind, n.kind), words.VERSION_LOW.format(number=n.version)
        rows.append(
            f"<tr><td><strong>{escape(n.name)}</strong></td><td>{escape(kind + here)}</td><td>{escape(version)}</td>"
            f"<td>{buttons(n.name, 'name', n.name, actions)}</td></tr>"
        )
    return table((), rows)


def curve_text(points: Sequence[Point]) -> str:
    """The newest point of the learning curve in words, for those who cannot see the plot."""
    if not points:
        return ""
    last = points[-1]
    text = words.CURVE_TEXT.format(number=last.version, learned=last.learned, of=count(last.lessons))
    if last.locality is not None:
        text += words.CURVE_LOCAL.format(share=last.locality)
    return f'<p class="qf-quiet">{escape(text)}.</p>'


def restore_text(diff: VersionDiff) -> str:
    """What restoring would unlearn, and what it would bring back. diff: from the live version to the one to restore."""
    parts = [
        form.format(lessons=count(len(records)), texts=_some(records))
        for form, records in ((words.RESTORE_LOSES, diff.removed), (words.RESTORE_GAINS, diff.added)) if records
    ]  # fmt: skip
    return note(" ".join([*(parts or [words.RESTORE_SAME]), words.RESTORE_HINT]))


def _some(records: Sequence[LessonRecord]) -> str:
    texts = "; ".join(f"“{short(r.lesson.text)}”" for r in records[:NAMED])
    return texts if len(records) <= NAMED else words.AND_MORE.format(texts=texts, more=len(records) - NAMED)


def lessons_diff(diff: VersionDiff) -> str:
    """Lessons that one version knows and the other does not; a correction is shown as one, its words marked."""
    pairs = corrections(diff.removed, diff.added)
    corrected = {record.id for pair in pairs for record in pair}
    rows = []
    for old, new in pairs:
        before, after = marked(old.lesson.text, new.lesson.text)
        rows.append(_diff_row("→", "qf-quiet", words.DIFF_MARKS["changed"], f"{before}<br>{after}"))
    for sign, tone, name, records in (
        ("+", "qf-good", "added", diff.added), ("−", "qf-bad", "removed", diff.removed),
        ("~", "qf-quiet", "again", diff.observed_again),
    ):  # fmt: skip
        rows += [
            _diff_row(sign, tone, words.DIFF_MARKS[name], escape(r.lesson.text)) for r in records if r.id not in corrected
        ]
    if not rows:
        return f'<p class="qf-quiet">{escape(words.SAME_LESSONS)}</p>'
    return f'<ul class="qf-diff">{"".join(rows[:PAGE])}</ul>' + and_more(len(rows))


def _diff_row(sign: str, tone: str, label: str, content: str) -> str:
    return f'<li><span class="{tone}"><strong>{sign}</strong> {escape(label)}</span><br>{content}</li>'


def corrections(
    removed: Sequence[LessonRecord], added: Sequence[LessonRecord]
) -> list[tuple[LessonRecord, LessonRecord]]:
    """Pairs of a lesson that went and the one that came in its place: those with most words in common."""
    if len(removed) * len(added) > 10_000:
        return []
    likeness = [
        (SequenceMatcher(None, old.lesson.text.split(), new.lesson.text.split(), autojunk=False).ratio(), i, j)
        for i, old in enumerate(removed) for j, new in enumerate(added)
    ]  # fmt: skip
    pairs, gone, come = [], set(), set()
    for ratio, i, j in sorted(likeness, key=lambda one: (-one[0], one[1], one[2])):
        if ratio >= ALIKE and i not in gone and j not in come:
            pairs.append((removed[i], added[j]))
            gone.add(i)
            come.add(j)
    return pairs


def answers_diff(answers: Sequence[TwoAnswers], old: int, new: int) -> str:
    """What two versions say: changed answers first, the words that differ marked."""
    rows = []
    for a in sorted(answers, key=lambda one: one.same):
        before, after = marked(a.old, a.new)
        now = f'<span class="qf-quiet">{escape(words.SAME_ANSWER)}</span>' if a.same else after
        rows.append(
            f'<tr class="{"" if a.same else "qf-changed"}"><td>{escape(a.question)}</td><td>{before}</td><td>{now}</td></tr>'
        )
    told = words.ANSWERS_SAME.format(same=sum(a.same for a in answers), of=len(answers))
    names = (words.VERSION_N.format(number=number) for number in (old, new))
    return f"<p>{escape(told)}</p>{table((words.QUESTION_COLUMN, *names), rows)}"


def weights_text(weights: WeightsDiff) -> str:
    """The change of the weights in one sentence."""
    layers = ", ".join(words.LAYER_N.format(number=layer) for layer in weights.layers) or words.NO_LAYER
    old, new = weights.ranks
    return note(words.WEIGHTS_TEXT.format(norm=weights.norm, layers=layers, old=old, new=new))
