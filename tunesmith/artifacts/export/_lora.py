"""A training config of LLaMA-Factory: a LoRA adapter on the rows of an export."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["lora_config"]

_FILL_IN = "FILL_IN"
_LEAST, _STEP = 512, 256  # tokens
_BYTES_PER_TOKEN = 2  # a token of a long text has more in every language; a row that is cut off is worth nothing
_TURN, _ROW = 16, 128  # tokens that a template puts around a turn and a row, those that explain tools included


def lora_config(
    stage: str,
    datasets: Sequence[str],
    *,
    model: str,
    base_model: str | None,
    template: str | None,
    lengths: Iterable[tuple[int, int]],
    calls: bool,
) -> str:
    """Return the config as YAML, to be run in the folder of the export.

    Args:
        stage: `sft`, `dpo` or `kto`.
        datasets: names in `dataset_info.json`: to train on and, if there are two, to evaluate on.
        model: what the run asked, for a comment.
        base_model: the weights, `None` to be filled in.
        template: their chat template, `None` to be filled in.
        lengths: bytes and turns of each row; the longest says how much is not cut off.
        calls: whether rows have calls of tools, which are in the middle of a conversation.
    """
    preference = stage != "sft"
    weights = {
        "model_name_or_path": base_model or _FILL_IN,
        "template": template or _FILL_IN,
    }
    method: dict[str, Any] = {"stage": stage, "do_train": True, "finetuning_type": "lora"}
    method |= {"lora_rank": 8, "lora_target": "all"}
    if preference:
        method["pref_beta"] = 0.1
    data: dict[str, Any] = {"dataset_dir": ".", "dataset": datasets[0], "cutoff_len": _longest(lengths)}
    if not preference and not calls:
        data["mask_history"] = True
    train = {
        "output_dir": "lora",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "learning_rate": "5.0e-6" if preference else "1.0e-4",
        "num_train_epochs": 3.0,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.1,
        "bf16": True,
        "logging_steps": 5,
        "report_to": "none",
    }
    held = {"eval_strategy": "epoch", "per_device_eval_batch_size": 1}
    return "\n".join(
        [
            "# llamafactory-cli train lora.yaml, in this folder (LLaMA-Factory 0.9.5).",
            "# The weights in the form of Hugging Face, and their chat template in LLaMA-Factory. The run asked:",
            f"# {' '.join(model.split())}",
            *_lines(weights),
            "",
            *_lines(method),
            "",
            "# Nothing of the longest row is cut off. Demos are earlier turns, and only the last reply is trained on."
            if "mask_history" in data
            else "# Nothing of the longest row is cut off.",
            *_lines(data),
            "",
            "# Without a GPU that computes in bfloat16, remove `bf16`.",
            *_lines(train),
            *(line for name in datasets[1:] for line in ("", *_lines({"eval_dataset": name, **held}))),
            "",
        ]
    )


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {_yaml(name, value)}" for name, value in values.items()]


def _yaml(name: str, value: Any) -> str:
    if name == "learning_rate":
        return str(value)
    return json.dumps(value, ensure_ascii=False)  # JSON is YAML


def _longest(lengths: Iterable[tuple[int, int]]) -> int:
    """Return a length in tokens that no row exceeds, whatever the tokenizer."""
    most = max(size / _BYTES_PER_TOKEN + _TURN * turns + _ROW for size, turns in lengths)
    return max(_LEAST, math.ceil(most / _STEP) * _STEP)
