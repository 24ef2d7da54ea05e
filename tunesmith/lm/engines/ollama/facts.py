"""What an Ollama server says about itself and its models, as values."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.lm.engine import Capabilities
from tunesmith.lm.engines.ollama.cloud import is_cloud_name, is_cloud_tag

__all__ = [
    "ModelFacts",
    "OwnTurns",
    "ServedModel",
    "Version",
    "can_think",
    "find_served",
    "full_name",
    "is_handed_on",
    "is_remote",
    "model_facts",
    "own_turns",
    "served_models",
]

MAX_CONTEXT = 8192
_NO_PENALTY = 1.0  # for repetition; the server's own default was 1.1 up to 0.24 and is 1.0 in 0.32
MOST_LOGPROBS = 20
_WORDS = re.compile(r"^(\S+)\s+(.*)$")


@dataclass(frozen=True, slots=True)
class Version:
    """A server's version; builds from source say 0.0.0 and count as new.

    Attributes:
        text: as the server says it.
    """

    text: str

    def before(self, *numbers: int) -> bool:
        """Return whether the server is known to be older than `numbers`."""
        found = tuple(int(part) for part in re.findall(r"\d+", self.text.split("-")[0])[:3])
        return any(found) and found < numbers


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model that a server has, or has in its memory.

    Attributes:
        name: with its tag.
        size: in bytes, of which `vram` are on the graphics card.
        digest: sha256 of its manifest, in hex; `None` if the server does not say.
        remote: whether the server says that another machine answers for it.
        context: of a model in memory, tokens of context that are really allocated; `None` if the server does not say.
        vram: of a model in memory, in bytes.
        expires: of a model in memory, when it is unloaded, as the server says it.
    """

    name: str
    size: int | None
    digest: str | None
    remote: bool = False
    context: int | None = None
    vram: int | None = None
    expires: str | None = None


@dataclass(frozen=True, slots=True)
class OwnTurns:
    """`SYSTEM` and `MESSAGE` of a model: texts that its server puts into every prompt.

    The messages stand first, after the system text. That one is left out if a request begins with a system message,
    even an empty one; then the messages stand before that.

    Attributes:
        system: the text, empty for none.
        messages: role and content of each.
    """

    system: str = ""
    messages: tuple[tuple[str, str], ...] = ()

    def before(self, *, has_system: bool) -> list[dict[str, str]]:
        """Return what the server puts before a request, which may begin with a system message, as messages."""
        first = [("system", self.system)] if self.system and not has_system else []
        return [{"role": role, "content": content} for role, content in (*first, *self.messages)]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What `/api/tags`, `/api/show` and `/api/version` say about one model.

    Attributes:
        name: as it was asked for.
        version: of the server.
        digest: of the model, `None` for one that runs elsewhere.
        trained_context: tokens, `None` if unknown.
        capabilities: such as `completion`, `thinking`, `tools`; `None` if the server does not say.
        stops: the model's own stop texts, which a request's would replace.
        remote: whether another machine answers for it.
        texts: `template`, `parameters`, `system` and `license` as they are.
        details: family, parameter size, quantization.
        own: texts that the server puts into every prompt.
    """

    name: str
    version: Version
    digest: str | None
    trained_context: int | None
    capabilities: frozenset[str] | None
    stops: tuple[str, ...]
    remote: bool
    texts: tuple[tuple[str, str], ...]
    details: tuple[tuple[str, str], ...] = ()
    own: OwnTurns = OwnTurns()

    def can(self, what: str) -> bool | None:
        """Return whether the model has a capability, `None` if the server does not say."""
        return None if self.capabilities is None else what in self.capabilities

    @property
    def repeat_penalty(self) -> float | None:
        """What to send if a request does not say; `None` leaves it to the model, or to the machine that answers for it.

        A default of the server's would change replies, and scores, with an update of the server.
        """
        own = dict(_parameters(dict(self.texts).get("parameters", "")))
        return None if self.remote or "repeat_penalty" in own else _NO_PENALTY

    def identity_details(self, num_ctx: int | None, think: Any) -> tuple[tuple[str, str], ...]:
        """Return what changes replies beside the weights, as sorted pairs."""
        found = {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in self.texts if name != "license"}
        if num_ctx is not None:
            found["num_ctx"] = str(num_ctx)
        if think:
            found["think"] = str(think).lower()
        if self.repeat_penalty is not None:
            found["repeat_penalty"] = str(self.repeat_penalty)
        return tuple(sorted(found.items()))

    def engine_capabilities(self) -> Capabilities:
        """Return what an engine on this model can do."""
        if self.remote:
            constraints: frozenset[str] = frozenset()  # models elsewhere take no schema
        elif self.version.before(0, 5, 0):
            constraints = frozenset({"json_object"})
        else:
            constraints = frozenset({"json_object", "json_schema"})
        # Up to 0.29 any model gives vectors; later one has to be made for it, or the server answers 501.
        embeds = not self.remote and (self.can("embedding") is not False or self.version.before(0, 30, 0))
        return Capabilities(
            constraints=constraints,
            logprobs=0 if self.remote or self.version.before(0, 12, 11) else MOST_LOGPROBS,
            embeddings=embeds,
            tools=bool(self.can("tools")),
            thinking=bool(self.can("thinking")),
            slots=1,
        )


def full_name(name: str) -> str:
    """Return the one spelling of a model's name: lower case, with its tag, without the default registry."""
    name = name.casefold().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def is_remote(described: Mapping[str, Any]) -> bool:
    """Return whether a server says of a model, in `/api/show` or `/api/tags`, that another machine answers for it."""
    return bool(described.get("remote_host") or described.get("remote_model"))


def is_handed_on(name: str, described: Mapping[str, Any]) -> bool:
    """Return whether an Ollama server hands the model on to the cloud, by its name or by what `/api/show` says."""
    return is_cloud_name(name) or is_remote(described)


def can_think(described: Mapping[str, Any]) -> bool:
    """Return whether a server says in `/api/show` that the model can think."""
    capabilities = described.get("capabilities")
    return isinstance(capabilities, list) and "thinking" in capabilities


def served_models(reply: Mapping[str, Any]) -> list[ServedModel]:
    """Return what `/api/tags` or `/api/ps` lists, sorted by name."""
    listed = reply.get("models")
    found = [
        ServedModel(
            name=str(entry.get("name") or entry.get("model") or ""),
            size=_whole(entry.get("size")),
            digest=_digest(entry.get("digest")),
            remote=is_remote(entry),
            context=_whole(entry.get("context_length")),
            vram=_whole(entry.get("size_vram")),
            expires=entry.get("expires_at"),
        )
        for entry in (listed if isinstance(listed, list) else ())
        if isinstance(entry, Mapping)
    ]
    return sorted(found, key=lambda model: model.name)


def find_served(models: Iterable[ServedModel], name: str) -> ServedModel | None:
    """Return the listed model that `name` names, `None` if there is none."""
    wanted = full_name(name)
    return next((model for model in models if full_name(model.name) == wanted), None)


def model_facts(name: str, version: Version, served: ServedModel | None, shown: Mapping[str, Any]) -> ModelFacts:
    """Return the facts of one model.

    Args:
        name: as it was asked for.
        version: of the server.
        served: its entry in the list of models, if it has one.
        shown: the reply of `/api/show`.
    """
    info = shown.get("model_info") or {}
    arch = info.get("general.architecture")
    capabilities = shown.get("capabilities")
    texts = {key: shown.get(key) for key in ("license", "parameters", "system", "template")}
    if shown.get("messages"):
        texts["messages"] = json.dumps(shown["messages"], sort_keys=True)
    return ModelFacts(
        name=name,
        version=version,
        digest=None if served is None else served.digest,
        trained_context=_whole(info.get(f"{arch}.context_length")),
        capabilities=None if capabilities is None else frozenset(map(str, capabilities)),
        stops=_stops(shown.get("parameters") or ""),
        remote=is_remote(shown) or (served is not None and served.remote) or is_cloud_tag(name),
        texts=tuple(sorted((key, text) for key, text in texts.items() if isinstance(text, str) and text)),
        details=_details(shown.get("details")),
        own=own_turns(shown),
    )


def own_turns(shown: Mapping[str, Any]) -> OwnTurns:
    """Return the texts that the reply of `/api/show` says are put into every prompt."""
    messages = [entry for entry in shown.get("messages") or () if isinstance(entry, Mapping)]
    turns = tuple((str(entry.get("role") or ""), str(entry.get("content") or "")) for entry in messages)
    return OwnTurns(str(shown.get("system") or ""), turns)


def _parameters(text: str) -> list[tuple[str, str]]:
    """Return the names and values in the `parameters` that `/api/show` gives, a line each."""
    return [(match[1], match[2].strip()) for line in text.splitlines() if (match := _WORDS.match(line)) is not None]


def _stops(parameters: str) -> tuple[str, ...]:
    """Return the values of `stop` lines, which are written as quoted text."""
    found = []
    for name, text in _parameters(parameters):
        if name == "stop":
            with contextlib.suppress(ValueError):
                text = str(json.loads(text))
            found.append(text)
    return tuple(dict.fromkeys(text for text in found if text))


def _details(found: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(found, Mapping):
        return ()
    names = ("family", "format", "parameter_size", "quantization_level")
    return tuple((name, str(found[name])) for name in names if found.get(name))


def _digest(value: Any) -> str | None:
    return value.removeprefix("sha256:") if isinstance(value, str) and value else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
