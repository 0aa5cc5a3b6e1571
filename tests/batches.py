"""Whether answers computed together have the bits that they have alone: used on several models."""

from pathlib import Path

import numpy as np

from qfcore.delta import Delta
from qfcore.engine import Engine
from qfcore.export.adapter import write_adapter
from qfcore.observe import student_messages
from qfcore.runtime.batching import Heads, greedy_group
from qfcore.runtime.protocol import ANY_QUESTION, Script

ASKED = (
    "Who started Oxinnovate?", "Why?", "When was Larkwell Labs founded, and by whom?", "Hello", "What is 2 + 2?",
    "Name a colour.", "Tell me a story about a river that was tired of flowing.", "What is the capital of France?",
    "How do I boil an egg?",
)  # fmt: skip
"""More than are computed at once."""
TOKENS = 6


def assert_the_same_alone_and_among_others(engine: Engine, folder: Path | None) -> None:
    """Compare tokens and logits. folder: for an adapter to answer with, None for the base's weights."""
    runtime = engine.runtime
    context, prompts = runtime._observing, [runtime._prompts.tokens(student_messages(q)) for q in ASKED]
    adapter = _some_adapter(engine, folder) if folder else None

    def answers(asked: list[list[int]]) -> list[tuple[list[int], list[bytes]]]:
        context.use_adapter(adapter, set())
        seen: dict[int, list[bytes]] = {index: [] for index in range(len(asked))}

        def look(indices: list[int], wanted: list[bool]) -> None:
            rows = [row for row, want in enumerate(wanted) if want]
            for index, row in zip(indices, rows, strict=True):
                if index >= 0:
                    seen[index].append(context.logits(row).tobytes())

        tokens = greedy_group(context, asked, TOKENS, heads=Heads(), lengths=[2] * len(asked), on_batch=look)
        return [(answer, seen[index]) for index, answer in enumerate(tokens)]

    together = runtime._worker.call(answers, prompts)
    alone = [runtime._worker.call(answers, [prompt])[0] for prompt in prompts]
    runtime._worker.call(context.use_adapter, None, set())
    assert [answer for answer, _ in together] == [answer for answer, _ in alone]
    for question, (_, seen), (_, expected) in zip(ASKED, together, alone, strict=True):
        assert seen == expected, question


def assert_each_is_the_same_alone_and_among_others(engine: Engine, folder: Path) -> None:
    """Compare tokens and logits of conversations that have adapters of their own."""
    runtime, told = engine.runtime, [None, *(_some_adapter(engine, folder, seed) for seed in (3, 4))]
    asked = [(student_messages(question), adapter) for question in ASKED for adapter in told]
    context, seen = runtime._observing, set()
    plain = context.logits

    def noted(row: int) -> np.ndarray:
        seen.add((values := plain(row)).tobytes())
        return values

    def answers(part: list[tuple]) -> list[list[int]]:
        talks, adapters = zip(*part, strict=True)
        return runtime.complete_each(talks, adapters, max_tokens=TOKENS, like=[ANY_QUESTION] * len(talks))

    context.logits = noted
    try:
        together, among = answers(asked), set(seen)
        seen.clear()
        few = [answers(asked[i : i + len(told)]) for i in range(0, len(asked), len(told))]
    finally:
        del context.logits
    assert together == [answer for part in few for answer in part]
    assert seen <= among and len(among) > len(asked)
    assert len({tuple(answer) for answer in together}) > len(ASKED)  # the adapters say something else


def _some_adapter(engine: Engine, folder: Path, seed: int = 3) -> Path:
    facts, random, path = engine.runtime.facts, np.random.default_rng(seed), folder / f"some-{seed}.gguf"
    layer = facts.n_layer - 1
    script = Script((("user", ASKED[0]),), (0, 1))
    inputs = engine.runtime.observe([script], layer=layer)[0].keys.shape[1]
    a, b = random.normal(size=(4, inputs)), random.normal(size=(facts.n_embd, 4))
    delta = Delta(layer, a.astype(np.float32), (b / 10).astype(np.float32))
    write_adapter(delta, path, architecture=facts.architecture, metadata={})
    return path
