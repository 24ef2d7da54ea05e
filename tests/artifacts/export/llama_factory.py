"""Reads an export as LLaMA-Factory does: run by an environment that has its package and `datasets`, without torch.

From its package are the readers of `dataset_info.json` and of the files, the converters, the processors, the chat templates and the
arguments of data and method. Written here is what needs torch and has no part in texts: names of weight files, the plugin
for pictures (a template for texts has none), and a tokenizer of three bytes a token.

    python llama_factory.py FOLDER TEMPLATE
"""

import contextlib
import importlib
import json
import sys
import types
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

IGNORED = -100


def stub(name: str, **names: Any) -> None:
    sys.modules[name] = module = types.ModuleType(name)
    module.__dict__.update(names)


def prepare() -> None:
    """Let the files of the package be imported one by one: its `__init__` files import torch."""
    spec = find_spec("llamafactory")
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0])
    for name in ("llamafactory", "llamafactory.data", "llamafactory.extras", "llamafactory.hparams"):
        stub(name, __path__=[str(root.joinpath(*name.split(".")[1:]))])
    stub("peft")
    stub("peft.utils", SAFETENSORS_WEIGHTS_NAME="-", WEIGHTS_NAME="-")
    stub("transformers")
    stub(
        "transformers.utils",
        SAFE_WEIGHTS_INDEX_NAME="-",
        SAFE_WEIGHTS_NAME="-",
        WEIGHTS_INDEX_NAME="-",
        WEIGHTS_NAME="-",
    )
    importlib.import_module("llamafactory.extras.constants")
    for name in ("peft", "peft.utils", "transformers", "transformers.utils"):
        del sys.modules[name]  # `datasets` would look for tokenizers in them
    no: Any = lambda *given, **named: False  # noqa: E731
    stub("llamafactory.extras.misc", use_modelscope=no, use_openmind=no, check_version=no, has_tokenized_data=no)
    plugin = SimpleNamespace(
        process_messages=lambda messages, *rest: messages, process_token_ids=lambda ids, labels, *rest: (ids, labels)
    )
    stub("llamafactory.data.mm_plugin", get_mm_plugin=lambda *given, **named: plugin)


class Tokenizer:
    """Three bytes are a token, as few as in any language; special tokens are one each."""

    bos_token_id, eos_token_id = 1, 2
    special = ("", "<bos>", "<eos>")

    def __init__(self) -> None:
        self.known: dict[bytes, int] = {one.encode(): number for number, one in enumerate(self.special)}

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        data = text.encode()
        return [self.id_of(data[start : start + 3]) for start in range(0, len(data), 3)]

    def convert_tokens_to_ids(self, token: str) -> int:
        return self.id_of(token.encode())

    def id_of(self, part: bytes) -> int:
        return self.known.setdefault(part, len(self.known))

    def decode(self, ids: list[int]) -> str:
        parts = list(self.known)
        return b"".join(parts[number] for number in ids if number != IGNORED).decode()


def read(folder: Path, name: str) -> dict[str, Any]:
    prepare()
    import datasets
    import yaml

    datasets.disable_progress_bars()
    loader = importlib.import_module("llamafactory.data.loader")
    templates = importlib.import_module("llamafactory.data.template").TEMPLATES
    arguments = {
        kind: getattr(importlib.import_module(f"llamafactory.hparams.{file}"), kind)
        for kind, file in (("DataArguments", "data_args"), ("FinetuningArguments", "finetuning_args"))
    }
    config = yaml.safe_load((folder / "lora.yaml").read_text(encoding="utf-8"))
    made = {
        kind: cls(**{key: value for key, value in config.items() if key in cls.__dataclass_fields__})
        for kind, cls in arguments.items()
    }
    data, stage = made["DataArguments"], made["FinetuningArguments"].stage
    data.dataset_dir = data.media_dir = str(folder)
    model = SimpleNamespace(cache_dir=str(folder / "cache"), hf_hub_token=None)
    training = SimpleNamespace(
        local_process_index=0,
        seed=0,
        should_log=False,
        predict_with_generate=False,
        main_process_first=lambda **given: contextlib.nullcontext(),
    )
    tokenizer = Tokenizer()
    stage = {"dpo": "rm"}.get(stage, stage)  # as its own workflow of DPO says it
    found: dict[str, Any] = {
        "numbers": {key: type(value).__name__ for key, value in config.items()},
        "cutoff": data.cutoff_len,
    }
    for side, names in (("train", data.dataset), ("eval", data.eval_dataset)):
        aligned = loader._get_merged_dataset(names, model, data, training, stage)
        found[side] = {"converted": [] if aligned is None else aligned.to_list()}
        if aligned is not None:
            ready = loader._get_preprocessed_dataset(aligned, data, training, stage, templates[name], tokenizer)
            found[side]["encoded"] = [_decoded(row, tokenizer) for row in ready.to_list()]
    return found


def _decoded(row: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    texts = {key: tokenizer.decode(value) for key, value in row.items() if key.endswith(("input_ids", "labels"))}
    lengths = {f"{key} length": len(value) for key, value in row.items() if key.endswith("input_ids")}
    return {**texts, **lengths, **({"kto_tag": row["kto_tags"]} if "kto_tags" in row else {})}


if __name__ == "__main__":
    sys.stdout.write("RESULT" + json.dumps(read(Path(sys.argv[1]), sys.argv[2])))
