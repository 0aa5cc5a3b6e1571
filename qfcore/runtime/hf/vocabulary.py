"""A checkpoint's tokenizer, in the form in which prompts are made (qfcore/runtime/prompt.py)."""

import copy
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|eot|>", "<|end_of_turn|>")
"""Tokens that end a turn wherever they occur; some checkpoints name only the end of the text."""
_CHANNELS = {"<|return|>", "<|call|>"}
"""Control tokens of gpt-oss, where <|end|> ends a message, but not the turn: thoughts end so too."""
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _bytes_of_letters() -> dict[str, int]:
    """Byte-level tokenizers write bytes as visible letters: those that are visible as themselves, the others from 256."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(b): b for b in visible} | {chr(256 + n): b for n, b in enumerate(hidden)}


_LETTERS = _bytes_of_letters()


class CheckpointVocabulary:
    """Implements `qfcore.runtime.prompt.Vocabulary`. ends: token ids that the checkpoint says end a text.

    The tokenizer is taken over; nobody else may use it.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", ends: Iterable[int]) -> None:
        self._parsing = tokenizer.backend_tokenizer
        self._parsing.no_truncation()
        self._parsing.no_padding()
        self._plain = copy.deepcopy(self._parsing)  # one each, since threads share them and the switch is part of them
        self._plain.encode_special_tokens = True
        self._template = _template_of(tokenizer)
        added = self._parsing.get_added_tokens_decoder()
        self._control = {number: token.content for number, token in added.items() if token.special}
        self._whole = {number: token.content for number, token in added.items() if not token.special}
        decoder = self._parsing.decoder
        self._byte_level = decoder is not None and "ByteLevel" in _types(json.loads(decoder.__getstate__()))
        self.bos, self.eos = (-1 if t is None else t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id))
        self._adds_bos = self.bos >= 0 and self._parsing.encode("").ids[:1] == [self.bos]
        tokens = self._control | self._whole
        ends_no_turn = {"<|end|>"} if _CHANNELS <= set(tokens.values()) else set()
        named = {n for n, text in tokens.items() if text in _TURN_ENDS and text not in ends_no_turn}
        self._ends = {*ends, *named, self.eos} - {-1}

    def chat_template(self) -> str | None:
        """The template stored with the tokenizer, or None."""
        return self._template

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids. With parse_special, the text of a control token becomes that token."""
        tokenizer = self._parsing if parse_special else self._plain
        begin = [self.bos] if add_special and self._adds_bos else []
        return begin + tokenizer.encode(text, add_special_tokens=False).ids

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Bytes of one token (a character may span several tokens)."""
        if token in self._control:
            return self._control[token].encode() if special else b""
        if token in self._whole:
            return self._whole[token].encode()
        text = self._parsing.id_to_token(token) or ""
        if self._byte_level:
            return b"".join(bytes([_LETTERS[c]]) if c in _LETTERS else c.encode() for c in text)
        if byte := _BYTE.fullmatch(text):
            return bytes([int(byte[1], 16)])
        return text.replace("▁", " ").encode()

    def is_end(self, token: int) -> bool:
        """Whether the token ends a turn."""
        return token in self._ends

    def special_texts(self) -> list[str]:
        """Texts of all control tokens."""
        return [text for text in self._control.values() if len(text) > 1]

    def ends(self) -> list[int]:
        """Tokens that end a turn, the tokenizer's own end first."""
        return sorted(self._ends, key=lambda token: (token != self.eos, token))


def _template_of(tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """A tokenizer may have several templates by name."""
    found = tokenizer.chat_template
    return found.get("default") if isinstance(found, dict) else found


def _types(decoder: dict) -> set[str]:
    """Types of a decoder and its parts."""
    return {decoder["type"]}.union(*(_types(part) for part in decoder.get("decoders", ())))
