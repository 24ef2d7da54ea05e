"""All other models: DSPy's engine behind tunesmith's cache and meters."""

import copy
import importlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelUnavailable, UsageError, shown
from tunesmith.lazy import lazy_module
from tunesmith.lm.engine import (
    BaseLM,
    Capabilities,
    ContextWindowExceededError,
    DspyLM,
    Identity,
    LMAuthError,
    LMConfigurationError,
    LMInvalidRequestError,
    LMRateLimitError,
    LMServerError,
    LMTimeoutError,
    LMTransportError,
    LMUnsupportedFeatureError,
    LMUnsupportedModelError,
    Request,
    Resend,
    Response,
    StreamEvent,
    context_overflow,
    missing_model,
    refused,
    unavailable,
    whole_events,
)
from tunesmith.lm.engines.ollama.cloud import cloud_model_refused, is_cloud_name, is_cloud_tag
from tunesmith.lm.engines.registry import Built, EngineKind, EngineOptions, option, register_engine
from tunesmith.lm.options import SECRET_OPTIONS
from tunesmith.lm.scope import unmetered

if TYPE_CHECKING:
    from tunesmith.lm import waiting
else:
    waiting = lazy_module("tunesmith.lm.waiting")  # DSPy waits itself

__all__ = ["DspyOptions", "ForeignEngine"]

# DSPy waits 1, 2, 4 ... seconds between attempts. It repeats only requests without a complete reply.
_RETRIES = 3

_OLLAMA = ("ollama_chat/", "ollama:")  # DSPy's prefixes for a model on an Ollama server
_OLLAMA_ADDRESS = "http://localhost:11434/v1"  # DSPy's default address for them; it ignores OLLAMA_HOST
_LOOK_SECONDS = 5.0
_ABSENT = (LMAuthError, LMConfigurationError, LMUnsupportedModelError)
_AWAY = (LMTransportError, LMRateLimitError, LMTimeoutError, LMServerError)


class ForeignEngine:
    """A plain `dspy.LM` as an engine. Its identity is unverified, because only name and address are known.

    Args:
        model: DSPy's model string, for example `openai/gpt-4o-mini`.
        client: connection settings as `dspy.LM` takes them (`api_base`, `api_key`, `timeout`, ...).
        cloud: whether to allow a model that an Ollama server forwards to the cloud.

    Raises:
        UsageError: DSPy refuses the model string or a setting.

    Attributes:
        sees_callers: whether the LM may ask DSPy's settings which module calls it.
    """

    sees_callers = False

    def __init__(self, model: str, client: dict[str, Any], *, cloud: bool = False) -> None:
        self._gate = _Gate(model, client, open_=cloud)
        # Without it DSPy downloads a price list at first use.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
        self._call: dict[str, Any] = {}
        try:
            self._lm: BaseLM = DspyLM(model, cache=False, **{"num_retries": _RETRIES, **client})
        except (TypeError, ValueError) as error:
            raise UsageError(f"DSPy does not accept the model {model!r}: {error}") from error
        address = client.get("api_base") or client.get("base_url") or ""
        self.identity = Identity(backend="dspy", model=model, details=(("address", str(address)),) if address else ())
        # Replies are not constrained, only parsed and validated: it is unknown which schemas a server takes.
        self.capabilities = Capabilities()

    @classmethod
    def over(cls, lm: BaseLM) -> "ForeignEngine":
        """Return an engine over an LM that the caller created."""
        engine = object.__new__(cls)
        engine._lm, engine._call, engine.sees_callers = lm, {}, True
        engine._gate = _Gate(lm.model, {}, open_=True)  # the user created the LM and chose its address
        # Addresses can change replies. Keys and headers must stay out of an identity, because artifacts show it.
        details = {n: v for n, v in lm.kwargs.items() if n in ("api_base", "base_url") and v is not None}
        engine.identity = Identity(
            backend="dspy", model=lm.model, details=tuple(sorted((n, str(v)) for n, v in details.items()))
        )
        engine.capabilities = Capabilities()
        return engine

    @property
    def keeps(self) -> bool:
        """Whether the LM stores replies in DSPy's cache."""
        return bool(getattr(self._lm, "cache", False))

    def without_cache(self) -> "ForeignEngine":
        """Return a copy of the engine that does not use DSPy's cache."""
        uncached = copy.copy(self)
        uncached._call = {"cache": False}
        return uncached

    def complete(self, request: Request) -> Response:
        """Answer through DSPy."""
        self._gate.check()
        try:
            with unmetered():
                return self._lm(replace(request, model=self._lm.model), **self._call)
        except ContextWindowExceededError as error:
            raise context_overflow(prompt_tokens=None, context_tokens=None) from error
        except _ABSENT as error:
            raise missing_model(
                f"The model {self.identity.model!r} refused the call: {_one_line(error)}.{self._hint()}"
            ) from error
        except LMInvalidRequestError as error:
            if "provider" not in str(error).lower():
                raise refused(
                    f"The model {self.identity.model!r} refused the request: {error}.{self._hint()}"
                ) from error
            raise missing_model(
                f"DSPy has no provider for the model {self.identity.model!r}: {_one_line(error)}. Write "
                f"`<provider>/<model>`, such as `openai/gpt-4o-mini`.{self._hint()}"
            ) from error
        except LMUnsupportedFeatureError as error:
            raise refused(
                f"The model {self.identity.model!r} does not take a part of the request: {_one_line(error)}. Leave "
                f"that part out, or use a chat model.{self._hint()}"
            ) from error
        except _AWAY as error:
            raise unavailable(
                f"The model {self.identity.model!r} does not answer: {error}. Check address and network, "
                "then run the same command again.",
                resend=Resend.NEVER if isinstance(error, LMTimeoutError) else Resend.FREELY,
            ) from error

    def _hint(self) -> str:
        for name in _OLLAMA:
            if self.identity.model.startswith(name):
                return f" For a model on an Ollama server write `ollama/{self.identity.model.removeprefix(name)}`."
        import difflib

        provider, _, name = self.identity.model.partition("/")
        if difflib.get_close_matches(provider, ("ollama",), cutoff=0.75):
            return f" Did you mean `ollama/{name}`?"
        if provider == "openai" and not self._lm.kwargs.get("api_base"):
            return " For your own server, set `base_url=` in `ts.lm`, or `base_url` under [lm] in tunesmith.toml."
        return ""

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        """Answer in one piece."""
        yield from whole_events(self.complete(request))

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Refuse: DSPy's LM has no embeddings."""
        raise refused(
            f"The model {self.identity.model!r} is called through DSPy, which has no embeddings for it. "
            "Use `dspy.Embedder`."
        )

    def close(self) -> None:
        """Close DSPy's connections."""
        close = getattr(self._lm, "close", None)
        if close is not None:
            close()


class _Gate:
    """Blocks requests to a model that an Ollama server forwards to the cloud. Copies of an engine share it.

    Args:
        spec: of the model. Its name may show that it is a cloud model.
        client: connection settings. Their server, or DSPy's default one for Ollama, is asked once, before the first
            request: any provider of DSPy that takes an address can reach Ollama's `/v1`.
        open_: whether the user allows cloud models.
    """

    def __init__(self, spec: str, client: dict[str, Any], *, open_: bool) -> None:
        given = client.get("api_base") or client.get("base_url")
        address = given or (_OLLAMA_ADDRESS if spec.startswith(_OLLAMA) else None)
        self._spec, self._barred = spec, not open_ and _is_cloud_spec(spec, has_address=bool(address))
        self._address: str | None = address if isinstance(address, str) and not open_ else None

    def check(self) -> None:
        """Raise `ModelMissing` if the model is blocked."""
        if self._address is not None and not self._barred:
            self._look(self._address)
        if self._barred:
            raise cloud_model_refused(self._spec)

    def _look(self, address: str) -> None:
        library = importlib.import_module("tunesmith.lm.engines.openai.server")  # and with it the HTTP client
        try:
            server = library.Server(address, headers={}, timeout=_LOOK_SECONDS, policy=waiting.Policy(attempts=1))
        except UsageError:
            self._address = None
            return
        try:
            if "version" in (server.page("/api/version") or {}):
                from tunesmith.lm.engines.ollama.facts import is_handed_on  # few models are on an Ollama server

                name = _without_provider(self._spec)
                self._barred = is_handed_on(name, server.page("/api/show", {"model": name}) or {})
        except ModelUnavailable:
            return  # the request will not reach an unavailable server either
        finally:
            server.close()
        self._address = None


def _is_cloud_spec(spec: str, *, has_address: bool) -> bool:
    """Return whether the spec, by its name alone, is a cloud model of an Ollama server."""
    if spec.startswith(_OLLAMA):
        return is_cloud_name(spec)
    return (has_address or spec.startswith("openai/")) and is_cloud_tag(_without_provider(spec))


def _without_provider(spec: str) -> str:
    """Return what is behind the first `/` or `:` of a spec."""
    places = [place for place in (spec.find("/"), spec.find(":")) if place >= 0]
    return spec[min(places, default=-1) + 1 :]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


class DspyOptions(EngineOptions):
    """Connection options of `dspy.LM`."""

    host: str | None = option("one address; use `base_url=` for several", "the same as `api_base`")
    api_base: Any = option("an address", "where the server is")
    base_url: Any = option("an address", "the same as `api_base`", type_of_file=str)
    api_key: Any = option("a text", "key of the server; in a file, `api_key_env` names the variable that holds it")
    api_version: Any = option("a text", "version of the server's API")
    azure_ad_token_provider: Any = option("a function", "gives a token for each request")
    custom_llm_provider: Any = option("a text", "the provider, if the model's name does not say it")
    extra_headers: Any = option("a mapping of names to texts", "sent with every request")
    extra_query: Any = option("a mapping of names to texts", "added to the address of every request")
    headers: Any = option("a mapping of names to texts", "sent with every request")
    organization: Any = option("a text", "organization that pays")
    project: Any = option("a text", "project that pays")
    timeout: Any = option("a number of seconds", "seconds for one attempt", type_of_file=float)
    engine: str | None = option(
        "a name here, such as 'litellm'; `tunesmith.lm.build_lm(name, engine)` takes an engine of yours",
        "which library of DSPy's sends the requests",
    )
    model_type: Any = option("a text", "`chat`, `text` or `responses`")
    num_retries: Any = option("a whole number", "attempts after the first one")
    use_developer_role: Any = option("true or false", "whether the system message has the role `developer`")
    cloud: bool | None = option("true or false", "whether a model that Ollama hands on to the cloud may be asked")


def _make(spec: str, given: dict[str, Any], slots: int) -> Built:
    del slots  # DSPy's engine does not limit concurrency
    leave = {"cloud": given["cloud"]} if "cloud" in given else {}
    client = {name: value for name, value in given.items() if name not in ("cloud", "host")}
    if "host" in given:
        client["api_base"] = given["host"]
    for name in ("host", "api_base", "base_url"):
        address = given.get(name)
        if isinstance(address, str) and not address.strip().lower().startswith(("http://", "https://")):
            raise UsageError(f"`{name}` is an address such as `http://localhost:8000/v1`. Given: {shown(address)}.")
    kept = {name: value for name, value in client.items() if name not in SECRET_OPTIONS}
    return ForeignEngine(spec, client, **leave), {**kept, **leave}


register_engine(
    EngineKind(
        name="dspy",
        spec="<provider>/<model>",
        help="any other model string of `dspy.LM`, answered by DSPy's own engine, cached and metered",
        options=DspyOptions,
        make=_make,
        takes=lambda spec, _: True,
        asks=True,
        defaults={},
        instead={
            **dict.fromkeys(("dialect", "revision"), "It is an option of `openai/<model>` with `base_url=`"),
            "num_ctx": "DSPy's own engine has none: leave it out",
        },
    )
)
