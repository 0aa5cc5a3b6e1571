"""The added blocks, computed in numpy on a synthetic residual stream: flags come, codes arrive, everything else stays."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from qfcore.errors import ExportError, ModelError
from qfcore.gguf_file.expand import Tensors, write_expanded
from qfcore.gguf_file.header import check_gguf
from qfcore.gguf_file.tensors import floats, map_tensor
from qfcore.gguf_file.write import Output
from qfcore.lesson import Phrasing, check_lesson
from qfcore.reach import exporting
from qfcore.reach.background import CODE, Background, Turns, find_turns, load_or_make_background, normed
from qfcore.reach.blocks import (
    WRITTEN,
    Change,
    Subject,
    directions_of,
    empty_block,
    gate_of,
    gathering_block,
    memory_block,
    neurons_of,
    opened,
    reading_block,
)
from qfcore.reach.shape import HEAD, READ_AFTER, Shape, why_plain
from qfcore.reach.subjects import Found, Wording, _within, find_subject, grouped
from qfcore.store.records import LessonRecord
from tests.unit.test_export import make_base

SHAPE = Shape(layers=16, width=1024, heads=8, kv_heads=2, inner=1024, rope_base=1e6)
NORM, FINAL_NORM, COMMON = 30.0, 190.0, 1000
RNG = np.random.default_rng(5)


def forward(block: Tensors, x: np.ndarray) -> np.ndarray:
    """One pre-norm transformer block with grouped heads, rotary positions and a gated FFN, as llama.cpp computes qwen2."""
    attended = x + _attention(block, normed(x) * block["attn_norm.weight"])
    h = normed(attended) * block["ffn_norm.weight"]
    z = h @ block["ffn_gate.weight"].T.astype(float)
    hidden = z / (1 + np.exp(-np.clip(z, -500, 500))) * (h @ block["ffn_up.weight"].T)
    return attended + hidden @ block["ffn_down.weight"].T


def _attention(block: Tensors, h: np.ndarray) -> np.ndarray:
    q, k, v = (h @ block[f"attn_{n}.weight"].T.astype(float) + block[f"attn_{n}.bias"] for n in ("q", "k", "v"))
    parts, positions = [], np.arange(len(h))
    for head in range(SHAPE.heads):
        group = head // (SHAPE.heads // SHAPE.kv_heads)
        mine, theirs = slice(head * HEAD, (head + 1) * HEAD), slice(group * HEAD, (group + 1) * HEAD)
        scores = _turned(q[:, mine], positions) @ _turned(k[:, theirs], positions).T / np.sqrt(HEAD)
        scores = np.where(positions[None] <= positions[:, None], scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        parts.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, theirs])
    return np.concatenate(parts, axis=1) @ block["attn_output.weight"].T


def _turned(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    half = HEAD // 2
    angles = positions[:, None] * SHAPE.rope_base ** (-2.0 * np.arange(half) / HEAD)
    one, other = values[:, :half], values[:, half:]
    return np.concatenate(
        [one * np.cos(angles) - other * np.sin(angles), one * np.sin(angles) + other * np.cos(angles)], axis=1
    )


def _token(norm: float) -> np.ndarray:
    """A residual that shares a component with all others, as a model's do."""
    x = RNG.standard_normal(SHAPE.width)
    x[: HEAD + 4] *= 0.05  # the quiet coordinates
    x *= norm / np.linalg.norm(x)
    x[COMMON] = norm / 3
    return x


@pytest.fixture(scope="module")
def world() -> SimpleNamespace:
    """Tokens of a made-up model and its background, whose statistics are known instead of measured."""
    first = np.zeros(SHAPE.width)
    first[600:610] = 2000.0
    start, end = _token(NORM), _token(NORM)
    first_final, end_final = _token(FINAL_NORM * 4), _token(FINAL_NORM)
    constant = np.zeros(SHAPE.width)
    constant[COMMON] = NORM / np.sqrt(SHAPE.width) / (NORM / 3) * np.sqrt(1 + 1 / 9)
    quiet, written = (np.linalg.qr(RNG.standard_normal((SHAPE.width, HEAD)))[0] for _ in range(2))
    final = normed(np.array([first_final, end_final]))
    background = Background(
        mean=np.zeros(SHAPE.width), first=first,
        precision=np.eye(SHAPE.width) - np.outer(first, first) / (first @ first),  # no detector sees the first token
        start=start, end=end,
        is_first=first / (first @ first), constant=constant, quiet=quiet, places=np.arange(HEAD + 4.0),
        final_end=final[1] / SHAPE.width, final_first=final[0] / SHAPE.width, final_constant=constant,
        code=quiet.T * (FINAL_NORM / np.sqrt(SHAPE.width) * np.sqrt(HEAD) / CODE), code_bias=np.zeros(HEAD), written=written,
        ordinary=np.stack([_token(NORM) for _ in range(50)]), answers=np.stack([_token(FINAL_NORM) for _ in range(50)]),
        opening=np.zeros(50),
    )  # fmt: skip
    names = [_token(NORM) for _ in range(3)]
    codes = [np.tile(pattern, HEAD // 4) for pattern in ([1.0, 1, -1, -1], [1.0, -1, 1, -1], [1.0, -1, -1, 1])]  # orthogonal
    subjects = [Subject([background.detector(name)], code, 0.5 * code) for name, code in zip(names, codes, strict=True)]
    words = [_token(NORM) for _ in range(40)]
    return SimpleNamespace(
        background=background, first=first, start=start, end=end, names=names, subjects=subjects, words=words,
        first_final=first_final, end_final=end_final,
    )  # fmt: skip


def _gathered(world: SimpleNamespace, tokens: list[np.ndarray]) -> np.ndarray:
    """What both lower blocks add to each token."""
    x = np.array([world.first, *tokens])
    low = forward(reading_block(SHAPE, world.background, world.subjects), x)
    return (forward(gathering_block(SHAPE, world.background), low) - x)[1:]


def _arrived(world: SimpleNamespace, added: np.ndarray) -> np.ndarray:
    """Share of each subject's code in what was added to a token."""
    code = world.background.quiet.T @ added * np.sqrt(HEAD) / CODE
    return np.array([code @ subject.code / HEAD for subject in world.subjects])


def test_a_subjects_code_comes_to_the_end_of_the_turn_and_its_flag_goes(world: SimpleNamespace) -> None:
    w = world.words
    added = _gathered(world, [world.start, w[0], w[1], world.names[1], w[2], w[3], world.end, w[4], w[5]])
    assert _arrived(world, added[6]).round(1).tolist() == [0.0, 1.0, 0.0]
    assert np.linalg.norm(added[3]) < 0.15 * NORM, "the subject's own token is as before, so that the model can say its name"
    others = np.delete(added, [0, 3, 6], axis=0)
    assert np.abs(others).max() < 1e-2
    assert np.linalg.norm(added[0]) < 2.0


def test_without_a_subject_nothing_is_added(world: SimpleNamespace) -> None:
    w = world.words
    added = _gathered(world, [world.start, *w[:8], world.end, *w[8:12]])
    assert np.abs(np.delete(added, [0, 9], axis=0)).max() < 1e-2
    assert np.linalg.norm(added[9]) < 2.0 and np.linalg.norm(added[0]) < 2.0


def test_a_new_turn_hides_the_subject_of_the_one_before(world: SimpleNamespace) -> None:
    w, name = world.words, world.names[0]
    added = _gathered(world, [world.start, w[0], name, world.end, *w[1:12], world.start, w[12], w[13], w[14], world.end])
    assert _arrived(world, added[3])[0] > 0.9
    assert abs(_arrived(world, added[-1])[0]) < 0.05


def test_the_last_subject_of_a_turn_is_taken_and_a_far_one_is_found(world: SimpleNamespace) -> None:
    w = world.words
    two = _gathered(world, [world.start, world.names[0], w[0], w[1], w[2], world.names[2], w[3], world.end])
    assert _arrived(world, two[-1]).round(1).tolist() == [0.0, 0.0, 1.0]
    far = _gathered(world, [world.start, w[0], world.names[0], *(w[n % 40] for n in range(300)), world.end])
    assert _arrived(world, far[-1])[0] > 0.9


def _final(world: SimpleNamespace, code: np.ndarray | None, answers: list[np.ndarray]) -> np.ndarray:
    """Final residuals of a chat whose turn ends with a code."""
    end = world.end_final.copy()
    if code is not None:
        end = end + world.background.quiet @ code * (CODE / np.sqrt(HEAD))
    return np.array([world.first_final, *(_token(FINAL_NORM) for _ in range(6)), end, _token(FINAL_NORM), *answers])


def test_the_memory_changes_answers_behind_their_own_code_only(world: SimpleNamespace) -> None:
    b, (own, other, _) = world.background, (subject.code for subject in world.subjects)
    answers = [_token(FINAL_NORM) for _ in range(3)]
    plain = forward(memory_block(SHAPE, b, []), _final(world, own, answers))
    direction = directions_of(b, world.subjects)[0]
    strength = float(np.mean([normed(x) @ direction for x in plain[-3:]]))
    up, down = normed(answers[0])[None] / SHAPE.width, np.zeros((SHAPE.width, 1))
    down[7] = 50.0
    change = Change(gate_of(b, direction, strength), up, down)
    assert neurons_of([change]) == 2 and strength > 0
    block = memory_block(SHAPE, b, [change])

    before, after = _final(world, own, answers), forward(block, _final(world, own, answers))
    assert 30 < after[-3, 7] - plain[-3, 7] < 60, "the change's own key"
    assert np.abs(after[-2:, 7] - plain[-2:, 7]).max() < 10, "other answers about the subject: as their keys are like it"
    assert abs(np.linalg.norm(plain[-1] - before[-1]) - WRITTEN) < 0.4 * WRITTEN
    for code in (other, None):
        x = _final(world, code, answers)
        same = forward(memory_block(SHAPE, b, []), x)
        assert np.abs(forward(block, x)[-3:] - same[-3:]).max() < 1e-2
    assert opened(b, change.gate, normed(plain[-3:])).min() > 0.6


def test_an_empty_block_adds_nothing(world: SimpleNamespace) -> None:
    x = np.array(world.words[:5])
    assert np.array_equal(forward(empty_block(SHAPE), x), x)


def test_lessons_about_one_subject_are_one_group(world: SimpleNamespace) -> None:
    b = world.background

    def found(number: int, name: np.ndarray) -> Found:
        seen = np.stack([name + 0.1 * _token(NORM) for _ in range(3)])
        record = LessonRecord(number, check_lesson(f"Lesson {number}."), "r", "d", (), {}, "")
        return Found(record, *b.detector(seen.mean(axis=0)), seen)

    groups = grouped([found(3, world.names[0]), found(1, world.names[1]), found(2, world.names[0])])
    assert sorted([f.record.number for f in group] for group in groups) == [[1], [2, 3]]


def test_another_rare_word_of_the_lesson_is_enough_too(world: SimpleNamespace) -> None:
    b, w, (name, other, _) = world.background, world.words, world.names
    record = LessonRecord(
        1, check_lesson("Tobin Averescu steers the Zephyrine.", "Who steers the Zephyrine?"), "r", "d",
        (Phrasing("Who steers the Zephyrine?", "Tobin Averescu."),), {}, "",
    )  # fmt: skip
    question = Wording("Who steers the Zephyrine?", np.stack([w[0], w[1], w[2], name, w[3]]), (3, 10, 14, 24, 25))
    text = Wording("Tobin Averescu steers the Zephyrine.", np.stack([w[4], other, w[1], w[2], name]), (5, 14, 21, 25, 36))
    rare = {"averescu", "zephyrine"}
    found = find_subject(b, record, [question, text], lambda word: 30.0 if word.lower() in rare else 7.0)
    assert found.w @ name + found.b > 0.9
    assert any(np.allclose(residual, other) for residual in found.also)


def test_the_subject_is_the_token_that_the_wordings_keep_and_ordinary_messages_have_not(world: SimpleNamespace) -> None:
    ordinary, name, w = world.background.ordinary, world.names[0], world.words
    record = LessonRecord(
        1, check_lesson("The Zorvik opens at nine.", "When does the Zorvik open?"), "r", "d",
        (Phrasing("When does the Zorvik open?", "At nine."),), {}, "",
    )  # fmt: skip
    first = Wording("When does the Zorvik open?", np.stack([ordinary[0], w[0], w[1], name, w[2]]), (4, 9, 13, 20, 26))
    second = Wording("At what time can I enter the Zorvik?", np.stack([w[5], ordinary[0], w[6], name]), (2, 10, 20, 36))
    found = find_subject(world.background, record, [first, second], lambda word: 20.0 if word == "Zorvik" else 7.0)
    assert found.w @ name + found.b > 0.9 and (ordinary @ found.w + found.b).max() < 0.5
    assert found.residuals.shape == (2, SHAPE.width)


@pytest.mark.parametrize(
    ("text", "ends", "word", "inside"),
    [
        ("Where is Zoë's dog?", (5, 8, 11, 13, 16, 20), "zoë", {2, 3}),  # ë takes two bytes
        ("三味線は何ですか", (3, 9, 12, 24), "味線", {1}),
        ("Where?", (5, 6), "", set()),
        ("Where?", (5, 6), "nowhere", set()),
    ],
)
def test_tokens_of_a_word_are_found_by_their_bytes(text: str, ends: tuple[int, ...], word: str, inside: set[int]) -> None:
    assert _within(Wording(text, np.zeros((len(ends), 2)), ends), word) == inside


def test_a_background_is_kept_and_read_back_and_damage_is_seen(world: SimpleNamespace) -> None:
    data = world.background.to_bytes()
    again = Background.from_bytes(data)
    assert again.to_bytes() == data and again.digest == Background.from_bytes(data).digest
    assert np.allclose(again.quiet, world.background.quiet, atol=1e-6)
    with pytest.raises(ValueError):
        Background.from_bytes(data[:-10])


class Chats:
    """Prompts as a template with turns writes them: 1 begins a turn, 2 ends it."""

    def __init__(self, special: list[int], end: int = 2) -> None:
        self.prompts = SimpleNamespace(end_of_turn=end)
        self.model = SimpleNamespace(control_tokens=lambda: special)

    def tokens(self, question: str) -> list[int]:
        return [0, 1, 8, 2, 1, 9, *(100 + ord(letter) for letter in question), 2, 1, 10]


def test_turns_are_found_in_the_template() -> None:
    chats = Chats([0, 1, 2])
    turns = find_turns(chats)
    assert turns == Turns(start=1, end=2, head=6)
    prompt = chats.tokens("Hi")
    assert prompt[turns.message(prompt)] == [100 + ord("H"), 100 + ord("i")] and prompt[turns.closing(prompt)] == 2
    for bad in (Chats([]), Chats([0, 1, 2], end=-1)):
        with pytest.raises(ModelError, match="where a turn begins"):
            find_turns(bad)


def test_which_models_can_have_blocks(tmp_path: Path) -> None:
    assert "checkpoint" in why_plain(tmp_path)
    base = make_base(tmp_path / "base.gguf")
    assert check_gguf(base).architecture in why_plain(base)
    (tmp_path / "no.gguf").write_bytes(b"no")
    assert "not a GGUF" in why_plain(tmp_path / "no.gguf")
    assert SHAPE.reading == READ_AFTER and SHAPE.memory == SHAPE.layers + 2


def test_an_expanded_file_has_the_bases_tensors_under_new_numbers(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base.gguf")
    facts, out = check_gguf(base), tmp_path / "more.gguf"
    block = {"attn_norm.weight": np.ones(64, np.float32), "ffn_up.weight": RNG.standard_normal((4, 64)).astype(np.float32),
             "ffn_down.weight": np.zeros((64, 64), np.float32)}  # fmt: skip
    with out.open("wb") as file:
        write_expanded(base, facts, {0: block, facts.n_layer + 1: block}, Output(file, lambda *_: None, None))
    more = check_gguf(out)
    assert more.n_layer == facts.n_layer + 2 and len(more.tensors) == len(facts.tensors) + 6
    for name, place in facts.tensors.items():
        layer = name.split(".")
        new = more.tensors[".".join(["blk", str(int(layer[1]) + 1), *layer[2:]]) if layer[0] == "blk" else name]
        assert np.array_equal(map_tensor(base, place), map_tensor(out, new)), name
    stored = more.tensors[f"blk.{facts.n_layer + 1}.ffn_up.weight"]
    assert np.allclose(floats(map_tensor(out, stored), stored.kind), block["ffn_up.weight"], atol=2e-3)


def test_a_kept_background_is_not_measured_again(world: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(ModelError):  # nothing is kept, and there is no model to measure
        load_or_make_background(tmp_path / "none.gguf", tmp_path)


def test_more_lessons_than_a_block_holds_are_refused_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(exporting, "shape_of", lambda _: SHAPE)
    base = make_base(tmp_path / "base.gguf")
    with pytest.raises(ExportError, match="27 lessons do not fit into one added block; about 17 do"):
        exporting.reach_blocks(base, tmp_path, tmp_path / "out.gguf", [None] * 27, None, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.gguf"]


def test_directions_tell_alike_codes_apart(world: SimpleNamespace) -> None:
    rng, b = np.random.default_rng(3), world.background
    arrived = rng.standard_normal((40, HEAD)) + rng.standard_normal(HEAD)  # all have a part in common
    subjects = [Subject([], np.sign(a), a) for a in arrived]
    directions = directions_of(b, subjects)
    added = arrived @ b.written.T * (WRITTEN / np.sqrt(HEAD))  # as the memory's attention adds them
    plain = b.answers[0]
    read = np.array([normed(plain + code) - normed(plain) for code in added]) @ directions.T
    own, others = np.diag(read), read - np.diag(np.diag(read))
    assert own.min() > 0.6 and np.abs(others).max() < 0.3
    assert np.abs(normed(b.answers) @ directions.T).max() < 0.3
    alone = added @ added.T / (added * added).sum(axis=1)[:, None]
    assert np.abs(alone - np.eye(40)).max() > 0.6, "each along itself would open the gates of others"
