"""The model's last step, from residual to logits, read row by row from the GGUF file.

logits(h) = E · (g ⊙ h / rms(h)), with g = `output_norm.weight` and E = `output.weight` (`token_embd.weight` when tied).
"""

from pathlib import Path

import numpy as np

from qfcore.errors import ModelError
from qfcore.gguf_file.header import check_gguf
from qfcore.gguf_file.tensors import floats, map_tensor


class OutputHead:
    """Final norm and output embedding; rows are dequantized when asked for, so it holds next to no memory.

    Raises:
        ModelError: the model ends otherwise (no RMS norm, or a norm with a bias).
    """

    def __init__(self, path: Path) -> None:
        facts = check_gguf(path)
        tensors = facts.tensors
        embedding = tensors.get("output.weight") or tensors.get("token_embd.weight")
        norm = tensors.get("output_norm.weight")
        if embedding is None or norm is None or "output_norm.bias" in tensors or facts.rms_epsilon <= 0:
            raise ModelError(f"{path.name} does not end in an RMS norm and an output embedding, so its margins are unknown.")
        self.epsilon = facts.rms_epsilon
        self._data, self._kind = map_tensor(path, embedding), embedding.kind
        self.norm = floats(map_tensor(path, norm), norm.kind)[0]

    def rows(self, tokens: np.ndarray) -> np.ndarray:
        """(N, O) float32 rows of E ⊙ g for N token ids: the logit of token t is rows[t] · h / rms(h)."""
        return floats(self._data[tokens], self._kind) * self.norm
