"""A measured suite as lines of text."""

from qfcore.measure.scores import counted


def table_lines(value: dict) -> list[str]:
    """The result of `measure_suite`, the best figures and the worst answers."""
    head = f"{value.get('suite', '')}, {value['lessons']} lessons taught together, method {value.get('method', '')}"
    return [head, *_rates(value), *_groups(value), *_costs(value), *_worst(value)]


def _rates(value: dict) -> list[str]:
    lines = [
        _line(name, who, value[who][name]) for name in ("recall", "generalisation", "portability")
        for who in ("taught", "ceiling", "base") if name in value[who]
    ]  # fmt: skip
    lines += [_line("locality", name, rate) for name, rate in value["locality"].items()]
    if value["same_subject"]["parrots"]["of"]:
        lines += [_line("same subject", name, rate) for name, rate in value["same_subject"].items()]
    if value["survival"]["of"]:
        lines.append(_line("survives", "of real subjects", value["survival"]))
    lines.append(_line("loops", "all answers", value["loops"]))
    kinds = value.get("conversations", {}).get("kinds", {})
    lines += [_line("conversations", kind, rate) for kind, rate in kinds.items()]
    scope = value.get("scope", {})
    lines += [_line("in scope", name, scope[name]) for name in ("questions", "paraphrases", "neighbours") if name in scope]
    if "drift" in value:
        lines.append(f"  perplexity taught / base: {value['drift']['ratio']:.4f}")
    return lines


def _line(name: str, what: str, rate: dict) -> str:
    return f"  {name:15} {what:16} {_cell(rate)}"


def _cell(rate: dict) -> str:
    if rate["rate"] is None:
        return "–"
    low, high = rate["interval"]
    return f"{rate['rate']:.2f} [{low:.2f}, {high:.2f}] ({rate['hits']}/{rate['of']})"


def _groups(value: dict) -> list[str]:
    return [
        f"  group {name:10} " + ", ".join(f"{key} {counted(rate)}" for key, rate in rates.items())
        for name, rates in value["groups"].items()
    ]  # fmt: skip


def _costs(value: dict) -> list[str]:
    if "exported" in value:
        return _file(value)
    remembered = value["untaught"]["remembered"]
    again = f", {remembered} answers of the untaught model remembered (--fresh asks again)" if remembered else ""
    softened, refused = value["net"]["softened"], value["net"]["refused"]
    return [
        *(f"  smaller change ({share:.0%}), since answers repeated themselves: {text}" for text, share in softened.items()),
        *(f"  refused, since answers repeat themselves: {text}" for text in refused),
        f"  {value['seconds_per_lesson']:.1f} s per lesson, rank {value['rank']}",
        f"  all questions asked in {value['seconds']['ask']:.0f} s{again}",
    ]  # fmt: skip


def _file(value: dict) -> list[str]:
    told = value["exported"]
    subjects = f", {told['subjects']} subjects" if "subjects" in told else ""
    softened = told.get("softened", {}).items()
    return [
        *([f"  form {told['form']}{subjects}"] if "form" in told else []),
        *(f"  not in the file, its subject was not recognised: {text}" for text in told.get("missed", ())),
        *(f"  change × {share:g}, since answers repeat themselves: {text}" for text, share in softened),
        *(f"  refused, since answers repeat themselves: {text}" for text in told.get("refused", ())),
        f"  file {told['bytes_ratio']:.3f} times as large as the base's, {told['speed_ratio']:.3f} of its tokens per second",
        f"  {value['seconds_per_lesson']:.1f} s per lesson, taught and exported",
    ]


def _worst(value: dict) -> list[str]:
    head = ["  Worst answers:"] if value["worst"] else []
    return [*head, *(f"    {answer['question']} → {answer['taught']}" for answer in value["worst"])]
