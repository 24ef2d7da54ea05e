"""A model on the server, its names, and what `/api/tags`, `/api/ps` and `/api/show` say of it."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.protocol.backends import Answer, Backend, FunctionBackend, Reply, scripted
from tests.protocol.gojson import timestamp
from tests.protocol.modelfile import quoted
from tests.protocol.outcomes import Refusal
from tests.protocol.weights import embedded_header

TEMPLATE = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
LEGACY = (
    "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}{{ if .Prompt }}<|im_start|>user\n"
    "{{ .Prompt }}<|im_end|>\n{{ end }}<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"
)
NATIVE = "{{ .Prompt }}"  # what is shown of a model without a Go template
THINKING = "{{ if and $.IsThinkSet $.Think }}<think>{{ else }}<think></think>{{ end }}"
STOPS = ("<|im_start|>", "<|im_end|>")
_SIZE = 98_363_007
_FACTS = {
    "general.architecture": "llama",
    "general.file_type": 3,
    "llama.context_length": 8192,
    "llama.embedding_length": 576,
    "tokenizer.ggml.tokens": None,
}


@dataclass
class FakeModel:
    """One model.

    Attributes:
        name: as the user writes it; `m` is `m:latest`.
        reply: a text, what `scripted` returns, any `(messages, options) -> str | Reply`, or a `Backend`
            (`embedded_backend()`).
        thinking: it can think, and does so unless `think` is false.
        thought: what a scripted model thinks where its reply does not say.
        tools: it accepts tools.
        embeddings: it is an embedding model: no chat.
        vision: it accepts images.
        system, messages, parameters: `SYSTEM`, `MESSAGE` and `PARAMETER` of its Modelfile; the two stop strings
            of the template are there unless `parameters` has its own `stop`.
        template: shown; what is rendered is always ChatML, in one of the three styles of `prompts.render`.
        context_length: what it was trained for, the most that `num_ctx` can be.
        weights: what the digest depends on, with the Modelfile: two servers with equal models have equal digests.
        digest: given by hand instead.
        obeys_format: a scripted reply that does not fit `format` is replaced by an instance. Else `format` is dropped
            in silence, as public reports have it of models that think, up to 0.30.7, where `think` is false.
        native: from 0.30 on: it has no Go template, so chat goes through the GGUF's own jinja template. Nothing is
            truncated inside a message, and the grammar of a schema allows white space first.
        legacy: its Go template is of the old form, over `.System`, `.Prompt` and `.Response`.
        leading: the grammar of a schema allows white space first, and a scripted model writes a line end there; by
            default on the native path alone.
        delay, token_delay, load_delay: seconds before the first token, between tokens, and to load.
        remote: it is a cloud model: calls are refused with 401 and a `signin_url`; `/api/show` and, from 0.30 on,
            `/api/tags` name the other host.
    """

    name: str
    reply: "str | Answer | Backend | Sequence[str | Reply]" = "ok"
    thinking: bool = False
    thought: str = "Let me think."
    tools: bool = False
    embeddings: bool = False
    vision: bool = False
    system: str = ""
    messages: Sequence[dict[str, Any]] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    template: str | None = None
    context_length: int = 8192
    weights: str = "scripted"
    digest: str = ""
    obeys_format: bool = True
    native: bool = False
    legacy: bool = False
    leading: bool | None = None
    delay: float = 0.0
    token_delay: float = 0.0
    load_delay: float = 0.0
    remote: bool = False
    modified: int = field(default_factory=time.time_ns)

    def __post_init__(self) -> None:
        self.name = full_name(self.name)
        if self.template is None:
            self.template = NATIVE if self.native else LEGACY if self.legacy else TEMPLATE
            self.template += THINKING if self.thinking else ""
        self.parameters = {"stop": list(STOPS), **self.parameters}
        if not self.digest:
            content = [self.weights, self.template, self.system, list(self.messages), self.parameters, self.thinking]
            self.digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        self.backend = self._backend()

    def _backend(self) -> Backend:
        if not callable(self.reply) and hasattr(self.reply, "run"):
            return self.reply  # type: ignore[return-value]
        answer: Answer
        if isinstance(self.reply, str):
            answer = scripted([self.reply])
        else:
            answer = self.reply if callable(self.reply) else scripted(self.reply)  # type: ignore[arg-type]
        return FunctionBackend(
            answer,
            obeys=self.obeys_format,
            thought=self.thought,
            delay=self.delay,
            token_delay=self.token_delay,
        )

    @property
    def capabilities(self) -> list[str]:
        if self.embeddings:
            return ["embedding"]
        asked = {"vision": self.vision, "tools": self.tools, "thinking": self.thinking}
        return ["completion", *(name for name, has in asked.items() if has)]


def full_name(name: str) -> str:
    """Return `name` with its tag, without the parts that every library model has."""
    for prefix in ("registry.ollama.ai/library/", "registry.ollama.ai/", "library/"):
        name = name.removeprefix(prefix)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def is_valid(name: str) -> bool:
    """Return whether `name` is a legal model name."""
    allowed = all(char.isascii() and (char.isalnum() or char in "_-.:/") for char in name)
    tag = full_name(name).rpartition(":")[2]
    return bool(name) and allowed and name[0].isalnum() and bool(tag) and not name.endswith("/")


class Library:
    """The models that are there, and those that could be pulled."""

    def __init__(self, models: Sequence[FakeModel], catalogue: Sequence[FakeModel]) -> None:
        self._lock = threading.Lock()
        self._models = {model.name.lower(): model for model in models}
        self.catalogue = {**self._models, **{model.name.lower(): model for model in catalogue}}

    def get(self, name: str) -> FakeModel | None:
        """Return the model; upper and lower case are one, `:local` is allowed as a suffix."""
        return self._models.get(full_name(name.removesuffix(":local")).lower())

    def wanted(self, name: str, missing: Callable[[str], Refusal]) -> FakeModel:
        """Return the model.

        Raises:
            Refusal: the name is no name (400), or `missing(name)`.
        """
        if name and not is_valid(name):
            raise Refusal(400, "invalid model name")
        found = self.get(name) if name else None
        if found is None:
            raise missing(name)
        return found

    def all(self) -> list[FakeModel]:
        return sorted(self._models.values(), key=lambda model: -model.modified)

    def add(self, model: FakeModel) -> None:
        with self._lock:
            self._models[model.name.lower()] = model

    def remove(self, name: str) -> None:
        with self._lock:
            del self._models[full_name(name).lower()]

    def copy(self, source: str, destination: str) -> None:
        found = self.get(source)
        assert found is not None
        self.add(replace(found, name=destination, reply=found.backend, modified=time.time_ns()))


def details(model: FakeModel, *, new: bool = False) -> dict[str, Any]:
    """Return the `details` of tags and ps."""
    found: dict[str, Any] = {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "134.52M",
        "quantization_level": "Q4_1",
    }
    if new:
        found |= {"context_length": model.context_length, "embedding_length": 576}
    return found


def tag(model: FakeModel, *, new: bool) -> dict[str, Any]:
    """Return the entry of `/api/tags`."""
    entry: dict[str, Any] = {
        "name": model.name,
        "model": model.name,
        "modified_at": timestamp(model.modified),
        "size": _SIZE,
        "digest": model.digest,
        "details": details(model, new=new),
    }
    if new:
        entry["capabilities"] = model.capabilities
        entry |= _elsewhere(model) if model.remote else {}
    return entry


def show(model: FakeModel, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of `/api/show`."""
    blob = "MODELS/blobs/sha256-" + hashlib.sha256(model.weights.encode()).hexdigest()
    parameters = {**model.parameters, **body.get("options", {})}
    lines = [
        (name, one) for name, value in parameters.items() for one in (value if isinstance(value, list) else [value])
    ]
    system = body.get("system") or model.system
    modelfile = (
        '# Modelfile generated by "ollama show"\n# To build a new Modelfile based on this, replace FROM with:\n'
        f'# FROM {model.name}\n\nFROM {blob}\nTEMPLATE "{model.template}"\n'
        + (f"SYSTEM {quoted(system)}\n" if system else "")
        + "".join(f"PARAMETER {name} {value}\n" for name, value in lines)
        + "".join(f"MESSAGE {message['role']} {quoted(message['content'])}\n" for message in model.messages)
    )
    header = embedded_header()
    facts = dict(_FACTS) if header is None else {**header.facts, "general.parameter_count": header.parameters}
    facts["llama.context_length"] = model.context_length
    for name in ("general.name", "tokenizer.chat_template"):
        facts.pop(name, None)
    if not body.get("verbose"):
        facts = {name: None if isinstance(value, list) else value for name, value in facts.items()}
    found: dict[str, Any] = {"modelfile": modelfile}
    if lines:
        found["parameters"] = "\n".join(f"{name:<30} {_go_value(value)}" for name, value in lines)
    found["template"] = model.template
    if system:
        found["system"] = system
    found["details"] = details(model) | {"parent_model": blob}
    if model.messages:
        found["messages"] = list(model.messages)
    found["model_info"] = dict(sorted(facts.items()))
    found["tensors"] = [] if header is None else header.tensors
    found["capabilities"] = model.capabilities
    found["modified_at"] = timestamp(model.modified)
    return found | (_elsewhere(model) if model.remote else {})


def _elsewhere(model: FakeModel) -> dict[str, Any]:
    return {"remote_model": model.name.removesuffix("-cloud"), "remote_host": "https://ollama.com:443"}


def _go_value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
