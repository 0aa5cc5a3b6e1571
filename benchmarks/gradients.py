"""What people would use instead, with gradients, on the same weights: LoRA fine-tuning and a MEMIT edit.

    python -m benchmarks.gradients lora|memit MODEL.gguf TASK.json OUT.gguf [TEXTS.jsonl]

Run by `benchmarks.comparison` in a process of its own. The weights are those of the GGUF file, unpacked to bfloat16 by
transformers; the result is written as a GGUF adapter, so that every contender answers through the same runtime. TASK.json:
[{"pairs": [{"prompt": ids, "answer": ids}], "subject": index of the subject's last token in the first prompt}]. Needs the
extra `bench`. LoRA: arXiv 2106.09685 through peft. MEMIT: arXiv 2210.07229, equations 14 to 21, our own writing of it.
"""

import argparse
import contextlib
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import gguf
import torch

EPOCHS, BATCH, RATE, RANK = 10, 8, 2e-4, 16
"""LoRA: passes over the lessons, pairs a step, learning rate, rank of every linear layer; alpha is twice the rank."""
MEMIT_LAYERS, MEMIT_STEPS, MEMIT_RATE, MEMIT_DECAY, MEMIT_LAMBDA = (4, 5, 6, 7, 8), 25, 0.5, 1e-3, 15_000.0
"""As published for models of this family's size: layers, gradient steps and rate of v*, its decay, weight of C."""
MEMIT_CLAMP = 4.0
"""Longest change of the residual, in norms of the residual itself."""
_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""Tensor name in a GGUF file: (A (R, I), B (O, R))."""


def main() -> None:
    """Train or edit, write the adapter, print seconds and bytes as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=["lora", "memit"])
    parser.add_argument("model", type=Path)
    parser.add_argument("task", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("texts", type=Path, nargs="?")
    options = parser.parse_args()
    torch.manual_seed(0)
    task = json.loads(options.task.read_text(encoding="utf-8"))
    model = load(options.model)
    before = time.perf_counter()
    if options.method == "lora":
        rank, factors = RANK, lora(model, task)
    else:
        texts = [json.loads(line)["text"] for line in options.texts.read_text(encoding="utf-8").splitlines()]
        rank, factors = len(task), memit(model, task, texts, options.model)
    seconds = time.perf_counter() - before
    write(factors, rank, model.config.model_type, options.out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": round(seconds, 1), "peak_bytes": peak, "adapter_bytes": options.out.stat().st_size}))


def load(path: Path) -> torch.nn.Module:
    """The file's weights in transformers, bfloat16, frozen."""
    from transformers import AutoModelForCausalLM, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()

    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    return model.eval().requires_grad_(False)


def batch_of(pairs: list[dict]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and labels (the answers only), padded on the right."""
    longest = max(len(p["prompt"]) + len(p["answer"]) for p in pairs)
    ids = torch.zeros(len(pairs), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, pair in enumerate(pairs):
        begin, end = len(pair["prompt"]), len(pair["prompt"]) + len(pair["answer"])
        ids[row, :end] = torch.tensor([*pair["prompt"], *pair["answer"]])
        mask[row, :end] = 1
        labels[row, begin:end] = torch.tensor(pair["answer"])
    return ids, mask, labels


def lora(model: torch.nn.Module, task: list[dict]) -> Factors:
    """Fine-tune a LoRA adapter of every linear layer on all pairs of all lessons."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = get_peft_model(model, config)
    wanted = [p for p in tuned.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(wanted, lr=RATE, weight_decay=0.0)
    pairs = [pair for lesson in task for pair in lesson["pairs"]]
    for epoch in range(EPOCHS):
        total = 0.0
        order = torch.randperm(len(pairs)).tolist()
        for begin in range(0, len(pairs), BATCH):
            ids, mask, labels = batch_of([pairs[i] for i in order[begin : begin + BATCH]])
            loss = tuned(input_ids=ids, attention_mask=mask, labels=labels).loss
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            total += loss.item() * len(ids)
        print(f"  epoch {epoch + 1} of {EPOCHS}: loss {total / len(pairs):.4f}", flush=True)
    found: Factors = {}
    for name, module in tuned.named_modules():
        if hasattr(module, "lora_A") and "default" in module.lora_A:
            layer, part = name.split(".layers.")[1].split(".", 1)
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            found[f"blk.{layer}.{_NAMES[part]}.weight"] = (a.detach().float(), 2 * b.detach().float())
    return found


def memit(model: torch.nn.Module, task: list[dict], texts: list[str], path: Path) -> Factors:
    """Find each lesson's v* by gradients, then spread it over the layers in closed form."""
    model.requires_grad_(False)
    layers = model.model.layers
    firsts, subjects = [lesson["pairs"][0] for lesson in task], [lesson["subject"] for lesson in task]
    wished = []
    for number, (pair, subject) in enumerate(zip(firsts, subjects, strict=True), start=1):
        wished.append(best_value(model, pair, subject))
        print(f"  v* {number} of {len(task)}", flush=True)
    z = torch.stack(wished)
    prompts = [p["prompt"] for p in firsts]
    samples = sample_keys(model, texts, path)
    found: Factors = {}
    for position, layer in enumerate(MEMIT_LAYERS):
        now = at_subjects(model, prompts, subjects, layers[MEMIT_LAYERS[-1]], inputs=False)
        keys = at_subjects(model, prompts, subjects, layers[layer].mlp.down_proj, inputs=True)  # (N, I)
        residual = (z - now) / (len(MEMIT_LAYERS) - position)  # (N, O)
        x = samples[layer].double()
        covariance = x.T @ x / len(x)
        covariance.diagonal().add_(1e-6 * covariance.diagonal().mean())
        k = keys.double()
        a = torch.linalg.solve(MEMIT_LAMBDA * covariance + k.T @ k, k.T).T  # (N, I): Kᵀ (λC + KKᵀ)⁻¹
        change = residual.double().T @ a
        weight = layers[layer].mlp.down_proj.weight
        weight.data += change.to(weight.dtype)
        found[f"blk.{layer}.ffn_down.weight"] = (a.float(), residual.T.contiguous().float())
        print(f"  layer {layer}: |change| / |weight| {float(change.norm()) / float(weight.float().norm()):.4f}", flush=True)
    return found


def best_value(model: torch.nn.Module, pair: dict, subject: int) -> torch.Tensor:
    """v*: the residual after the last edited layer, at the subject's last token, that makes the answer likely."""
    ids, mask, labels = batch_of([pair])
    block = model.model.layers[MEMIT_LAYERS[-1]]
    start = at_subjects(model, [pair["prompt"]], [subject], block, inputs=False)[0]
    delta = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=MEMIT_RATE)

    def shift(_module: torch.nn.Module, _inputs: object, output: object) -> object:
        hidden = output[0] if isinstance(output, tuple) else output
        moved = hidden.clone()
        moved[:, subject] = hidden[:, subject] + delta.to(hidden.dtype)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    for _ in range(MEMIT_STEPS):
        with hooked(block.register_forward_hook(shift)):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        if loss.item() < 5e-2:
            break
        (loss + MEMIT_DECAY * (delta.norm() / start.norm()) ** 2).backward()
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad():
            longest = MEMIT_CLAMP * start.norm()
            if delta.norm() > longest:
                delta.mul_(longest / delta.norm())
    return start + delta.detach()


@torch.no_grad()
def at_subjects(
    model: torch.nn.Module, prompts: list[list[int]], subjects: list[int], module: torch.nn.Module, *, inputs: bool
) -> torch.Tensor:
    """What goes into (or comes out of) a module at each prompt's subject, float32 (N, width)."""
    seen: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, given: tuple, output: object) -> None:
        value = given[0] if inputs else (output[0] if isinstance(output, tuple) else output)
        seen.append(value.detach())

    rows = []
    for prompt, subject in zip(prompts, subjects, strict=True):
        with hooked(module.register_forward_hook(keep)):
            model.model(input_ids=torch.tensor([prompt]))
        rows.append(seen.pop()[0, subject].float())
    return torch.stack(rows)


@torch.no_grad()
def sample_keys(model: torch.nn.Module, texts: list[str], path: Path) -> dict[int, torch.Tensor]:
    """Keys of ordinary texts at the edited layers, the sample of the covariance C."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    found: dict[int, list[torch.Tensor]] = {layer: [] for layer in MEMIT_LAYERS}

    def keeper(layer: int):  # noqa: ANN202
        return lambda _module, given: found[layer].append(given[0][0].detach().float())

    ids = tokenizer("\n\n".join(texts))["input_ids"]
    with contextlib.ExitStack() as stack:
        for layer in MEMIT_LAYERS:
            hook = model.model.layers[layer].mlp.down_proj.register_forward_pre_hook(keeper(layer))
            stack.enter_context(hooked(hook))
        for begin in range(0, len(ids), 256):
            model.model(input_ids=torch.tensor([ids[begin : begin + 256]]))
    print(f"  covariance over {len(ids)} tokens", flush=True)
    return {layer: torch.cat(parts) for layer, parts in found.items()}


@contextlib.contextmanager
def hooked(handle: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    """Remove the hook at the end, whatever happens."""
    try:
        yield
    finally:
        handle.remove()


def write(factors: Factors, rank: int, architecture: str, out: Path) -> None:
    """The change as a GGUF adapter with scale 1."""
    writer = gguf.GGUFWriter(out, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(rank))
    for name, (a, b) in sorted(factors.items()):
        writer.add_tensor(f"{name}.lora_a", a.contiguous().numpy())
        writer.add_tensor(f"{name}.lora_b", b.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
