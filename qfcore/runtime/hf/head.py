"""A checkpoint's last step, from residual to logits, for the margin targets (qfcore/margin.py)."""

import numpy as np
import torch

from qfcore.errors import ModelError
from qfcore.margin import check_head
from qfcore.runtime.hf.computing import Computer
from qfcore.runtime.hf.layers import gain_of, watching

_TRIED = 4


class ModelHead:
    """Final norm and output embedding (the input's where they are tied): logit of token t = rows(t) · h / rms(h).

    It is tried out: a model that scales or caps its logits, or ends in another norm, is refused. Must be made by the thread
    that computes; `rows` only reads and may be called from any.

    Raises:
        ModelError: the model ends otherwise.
    """

    def __init__(self, computer: Computer) -> None:
        model = computer.model
        output, norm = model.get_output_embeddings(), getattr(model.get_decoder(), "norm", None)
        gain = None if norm is None or output is None else gain_of(norm, computer.n_embd)
        if gain is None:
            raise ModelError("The model does not end in an RMS norm and an output embedding, so its margins are unknown.")
        self._weight: torch.Tensor = output.weight
        self.norm = gain.cpu().numpy()
        self.epsilon = float(getattr(norm, "variance_epsilon", getattr(norm, "eps", 1e-6)))
        self._check(computer)

    def rows(self, tokens: np.ndarray) -> np.ndarray:
        """(N, O) float32 rows of E ⊙ g for N token ids."""
        with torch.inference_mode():
            chosen = self._weight[torch.as_tensor(tokens, device=self._weight.device)]
            return chosen.float().cpu().numpy() * self.norm

    def _check(self, computer: Computer) -> None:
        with watching(computer.parts(computer.n_layer - 1)) as seen:
            logits = computer.logits(torch.arange(_TRIED)[None], keep=_TRIED)[0].cpu().numpy()
        check_head(self, seen.residuals[0].float().cpu().numpy(), logits)
