"""A change of weights as a PEFT adapter: what transformers loads with peft, and vLLM as a LoRA module."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from qfcore.delta import Delta
from qfcore.export.atomic import atomic_folder


def write_peft(delta: Delta, folder: Path, *, module: str, base: str, card: str) -> None:
    """Write `adapter_config.json`, `adapter_model.safetensors` and a card into a new folder.

    module: the edited module's path in the base (see qfcore/export/modules.py). base: what the adapter is loaded beside (a
    hub's name or a path). The scale alpha / rank is 1, and so the weights' change is lora_B (O, R) @ lora_A (R, I),
    float32: the delta's own factors.

    Raises:
        ExportError: the folder exists or cannot be written.
    """
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "inference_mode": True,
        "r": delta.rank, "lora_alpha": delta.rank, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False,
        "target_modules": [module.rpartition(".")[2]], "layers_to_transform": [delta.layer], "layers_pattern": "layers",
        "use_rslora": False, "use_dora": False, "modules_to_save": None,
    }  # fmt: skip
    name = f"base_model.model.{module}"
    factors = {
        f"{name}.lora_A.weight": np.ascontiguousarray(delta.a, dtype=np.float32),
        f"{name}.lora_B.weight": np.ascontiguousarray(delta.b, dtype=np.float32),
    }
    with atomic_folder(folder) as made:
        (made / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
        (made / "adapter_model.safetensors").write_bytes(save(factors, metadata={"format": "pt"}))
        (made / "README.md").write_text(card, encoding="utf-8")
