"""llama.cpp in this process: `embedded` and `gguf:<path>`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tunesmith.errors import UsageError
from tunesmith.lm.engines.registry import Built, EngineKind, EngineOptions, option, register_engine

__all__ = ["LlamaCppOptions"]

_FILE = "gguf:"


class LlamaCppOptions(EngineOptions):
    """Options of a model in this process."""

    # Quoted where pydantic would be asked: `ts.lm` imports every kind of engine, and checks few options.
    num_ctx: "Annotated[int, Field(ge=16)] | None" = option(
        "a whole number from 16", "context length in tokens; default the trained one up to 8192"
    )
    threads: "Annotated[int, Field(ge=1)] | None" = option(
        "a whole number from 1", "computing threads, shared by the slots; default one per core"
    )


def _make(spec: str, given: dict[str, Any], slots: int) -> Built:
    if spec == _FILE:
        raise UsageError("`gguf:` needs a path, as in `gguf:~/models/mine.gguf`.")
    # Imported here, because other engines do not need it.
    from tunesmith.lm.engines.llamacpp.engine import load_engine

    num_ctx, threads = given.get("num_ctx"), given.get("threads")
    return load_engine(spec, _path(spec), num_ctx=num_ctx, threads=threads, slots=slots), given


def _slots(spec: str, given: Mapping[str, Any]) -> int:
    from tunesmith.lm.engines.llamacpp.cores import slots_for  # here, because `ts.lm` imports every kind of engine

    return slots_for(_path(spec), given.get("threads"))


def _path(spec: str) -> Path:
    from tunesmith.lm.weights.models import embedded_path

    return Path(spec.removeprefix(_FILE)).expanduser() if spec.startswith(_FILE) else embedded_path()


register_engine(
    EngineKind(
        name="llamacpp",
        spec="embedded, gguf:<path>",
        help="SmolLM2-135M-Instruct, or your own GGUF file, in this process",
        options=LlamaCppOptions,
        make=_make,
        takes=lambda spec, _: spec == "embedded" or spec.startswith(_FILE),
        slots=_slots,
        runs_here=True,
        otherwise="It runs in this process: leave it out",
    )
)
