"""`ts.lm(spec)`: a model as a `dspy.LM` that works everywhere in DSPy."""

import contextlib
import copy
import datetime
import itertools
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

from tunesmith.errors import UsageError, shown
from tunesmith.lazy import lazy_module, lazy_pattern
from tunesmith.lm.cache.reply_cache import ReplyCache
from tunesmith.lm.engine import (
    LM_CLASS_STATE_KEY,
    BaseLM,
    Capabilities,
    DspyLM,
    Engine,
    Identity,
    LMUnsupportedFeatureError,
    OwnCacheLM,
    Request,
    Response,
    dspy_settings,
    refused,
)
from tunesmith.lm.findings import Findings
from tunesmith.lm.folders import cache_dir
from tunesmith.lm.options import (
    CARRIED,
    HOSTED,
    NEVER_SENT,
    check_options,
    check_values,
    plain_options,
)
from tunesmith.lm.patience import Patience
from tunesmith.lm.stack import BESIDE, AsyncFacade, Beside, Stack, SyncFacade, rollout_number
from tunesmith.lm.wire import Prefix

if TYPE_CHECKING:
    from tunesmith.lm import prompts, waiting
    from tunesmith.lm.engines.ollama.facts import OwnTurns
else:
    prompts = lazy_module("tunesmith.lm.prompts")  # a program's calls come with a request
    waiting = lazy_module("tunesmith.lm.waiting")  # most calls wait for nothing

__all__ = ["LM", "as_lm", "build_lm", "lm", "reply_cache"]

_NUMBER = lazy_pattern(r"[0-9]+(\.[0-9]+)?")
_PATH = f"{__name__}.LM"
_DSPY_CARRIES = CARRIED | HOSTED - {"logit_bias"} | {"request"}
_DSPY_CALL = DspyLM.__call__
_DSPY_ACALL = DspyLM.acall


class LM(OwnCacheLM):
    """A `dspy.LM` over one tunesmith engine, with cache, meters and price.

    It passes on what DSPy leaves out of requests: `rollout_id` (for the cache key and the seed), `cache` (for
    tunesmith's cache) and the engine's own options. DSPy's cache and retries are off.

    Example:
        >>> import dspy
        >>> import tunesmith as ts
        >>> lm = ts.FunctionLM(lambda seen: "hello")  # or ts.lm("ollama/qwen3:4b")
        >>> isinstance(lm, ts.LM) and isinstance(lm, dspy.LM)
        True
        >>> lm.copy(temperature=0.7).kwargs["temperature"]
        0.7
    """

    def __init__(self, model: str, stack: Stack, /, *, options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self._stack, self._options = stack, options
        self._title = f"A request to {model!r}"
        self._own: frozenset[str] | None = getattr(stack.engine, "request_options", None)
        callbacks = kwargs.pop("callbacks", None)
        self.check_options(kwargs)
        check_values(kwargs)
        super().__init__(
            model,
            engine=SyncFacade(stack),
            async_engine=AsyncFacade(stack),
            cache=stack.cache is not None or getattr(stack.engine, "keeps", False),
            num_retries=0,
            callbacks=callbacks,
            **kwargs,
        )

    @property
    def identity(self) -> Identity:
        """The model that answers."""
        return self._stack.identity

    @property
    def capabilities(self) -> Capabilities:
        """The abilities of its engine."""
        return self._stack.capabilities

    @property
    def findings(self) -> Findings:
        """Facts about the model that calls have shown."""
        return self._stack.findings

    @property
    def slots(self) -> int:
        """The number of concurrent requests."""
        return self._slots

    _slots = 1

    @property
    def think(self) -> bool | str | None:
        """Whether, or how much, it may think: the option `think` of `ts.lm`, `None` if it was not given."""
        found: bool | str | None = (self._options or {}).get("think")
        return found

    @property
    def context_tokens(self) -> int | None:
        """Tokens of context for a prompt with its reply; `None` if only the server knows.

        Raises: as `identity`.
        """
        found = dict(self.identity.details).get("num_ctx", "")
        return int(found) if found.isdecimal() else None

    def count_tokens(self, request: Request) -> int | None:
        """Return the tokens of a prompt without sending it; `None` if the engine cannot count them."""
        count = getattr(self._stack.engine, "count_tokens", None)
        if count is None:
            return None
        try:
            return int(count(request))
        except OSError:
            return None

    @property
    def own_turns(self) -> "OwnTurns":
        """The messages that its server adds to every prompt: a model's own `SYSTEM` and `MESSAGE`.

        Raises: as `identity`.
        """
        from tunesmith.lm.engines.ollama.facts import OwnTurns

        return getattr(self._stack.engine, "own_turns", None) or OwnTurns()

    @property
    def sees_callers(self) -> bool:
        """Whether it is over an LM of the caller's own, which may ask DSPy's settings which module calls it."""
        return getattr(self._stack.engine, "sees_callers", False)

    @property
    def caches(self) -> bool:
        """Whether its replies are cached."""
        return self._stack.cache is not None and self.cache is not False

    @property
    def cache_folder(self) -> Path | None:
        """The folder of its cached replies, `None` without a cache."""
        return self._stack.cache.folder if self._stack.cache is not None and self.caches else None

    @property
    def price(self) -> tuple[float, float] | None:
        """US dollars per million input and output tokens."""
        return self._stack.price

    @property
    def cache_trouble(self) -> tuple[int, int]:
        """How many damaged rows this process met in its cache, and how many replies could not be stored there."""
        cache = self._stack.cache
        return (0, 0) if cache is None else (cache.corrupt, cache.lost_writes)

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in order.

        Raises:
            UsageError: `texts` is not a list of texts, or a text is empty; nothing was sent.
            RequestRefused: the model has no embeddings.
            ContextOverflow: a text is longer than the context.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"`embed` takes a list of texts. Given: {shown(texts)}.")
        empty = [number for number, text in enumerate(texts, 1) if not text]
        if empty:
            numbers = ", ".join(map(str, empty[:8])) + (", ..." if len(empty) > 8 else "")
            raise UsageError(
                f"{len(empty)} of {len(texts)} texts are empty and have no vector (number {numbers}). Leave them out."
            )
        return self._stack.engine.embed(list(texts))

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer as `dspy.LM` does.

        Raises:
            UsageError: there is nothing to send, a message has the wrong form, or a request cannot have an option.
            RequestRefused: a text has a lone surrogate, or the engine does not take a part of the request.
        """
        beside, plain, kwargs = self._split(prompt, messages, kwargs)
        with _beside(beside):
            return DspyLM.__call__(plain, prompt, messages=messages, **kwargs)

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer as `dspy.LM.acall` does."""
        beside, plain, kwargs = self._split(prompt, messages, kwargs)
        with _beside(beside):
            return await DspyLM.acall(plain, prompt, messages=messages, **kwargs)

    def copy(self, **kwargs: Any) -> "LM":
        """Return a copy with other request options, as `dspy.LM.copy` does. `cache=False` turns off its cache.

        Raises:
            UsageError: a request cannot have one of the options.
        """
        self.check_options(name for name in kwargs if name != "callbacks")
        check_values(kwargs)
        if "think" in kwargs:
            raise UsageError("`think` of an LM cannot be changed. Create another LM with `ts.lm(..., think=...)`.")
        if kwargs.get("cache") is not None:
            self._cached(kwargs["cache"])
        copied: LM = super().copy(**kwargs)  # type: ignore[no-untyped-call]
        return copied

    def __copy__(self) -> "LM":
        """Return a shallow copy, as DSPy does, which searches the classes for slots in each copy."""
        kind: Any = type(self)
        copied: LM = object.__new__(kind)
        copied.__dict__.update(self.__dict__)
        for name in _slot_names(kind):
            if hasattr(self, name):
                setattr(copied, name, getattr(self, name))
        return copied

    def over(self, stack: Stack, engine: SyncFacade, async_engine: AsyncFacade) -> "LM":
        """Return a copy that shares the history and sends its requests through `stack`."""
        copied: LM = super().copy(engine=engine, async_engine=async_engine)  # type: ignore[no-untyped-call]
        copied._stack, copied.history = stack, self.history
        return copied

    def check_options(self, names: Iterable[str]) -> None:
        """Check that a request can have each of these options.

        Raises:
            UsageError: it cannot have one. The message says what to use instead.
        """
        check_options(names, self._own, self._title)

    def dump_state(self) -> dict[str, Any]:
        """Return the arguments with which `ts.lm` can recreate this LM, without keys and headers.

        If an LM is set on a program, DSPy writes this into the program's state, and loads it with
        `allow_unsafe_lm_state=True`.

        Raises:
            UsageError: the LM was created from an engine or an LM object, which cannot be written as text.
        """
        if self._options is None:
            raise UsageError(
                f"The LM {self.model!r} was not created by `ts.lm` and cannot be written into a program's state. "
                "Save the program without it and set it again after loading."
            )
        kwargs = {name: value for name, value in self.kwargs.items() if value is not None}
        slots = self.slots // _hosts(self._options)
        uncached = {} if self.caches else {"cache": False}
        return {LM_CLASS_STATE_KEY: _PATH, "spec": self.model, "slots": slots, **uncached, **self._options, **kwargs}

    @classmethod
    def load_state(cls, state: dict[str, Any], *, allow_custom_lm_class: bool = False) -> "LM":
        """Recreate the LM that `dump_state` described. DSPy has asked for the user's permission before."""
        return lm(**{name: value for name, value in state.items() if name != LM_CLASS_STATE_KEY})

    def rolled(self, rollout: int) -> "LM":
        """Return a copy with its own rollout, at temperature 1, so that it draws new replies."""
        return self.copy(rollout_id=rollout, temperature=1.0)

    def _split(self, prompt: object, messages: object, kwargs: dict[str, Any]) -> "tuple[Beside, LM, dict[str, Any]]":
        """Split the options of a call: those that bypass DSPy's request, an LM without them, and DSPy's options."""
        self.check_options(name for name in kwargs if name != "request")
        check_values(kwargs)
        given = kwargs.pop("cache", None)
        rollout = kwargs.get("rollout_id")
        rollout = rollout_number(self.kwargs.get("rollout_id") if rollout is None else rollout)
        request = prompt if isinstance(prompt, Request) else kwargs.get("request")
        whole = isinstance(request, Request)
        if isinstance(request, Request):
            self.check_options(request.config.extensions or ())
        else:
            prompts.check_prompt(prompt, messages)
        options = {} if whole else plain_options({**self.kwargs, **kwargs})
        own = {name: value for name, value in options.items() if name not in _DSPY_CARRIES}
        plain = self
        if own:
            plain = copy.copy(self)  # with the same history
            plain.kwargs = {name: value for name, value in self.kwargs.items() if name not in own}
            kwargs = {name: value for name, value in kwargs.items() if name not in own}
        extensions = {name: value for name, value in own.items() if value is not None}
        return Beside(rollout, self._cached(given), extensions, itertools.count()), plain, kwargs

    def _cached(self, given: object) -> bool:
        """Return whether a call with `cache=given` uses a cache. `None` uses the LM's own `cache`."""
        wanted = self.cache if given is None else given
        if not isinstance(wanted, bool):
            raise UsageError(f"`cache` of a call must be true or false. Given: {shown(wanted)}.")
        if wanted and given and self._stack.cache is None and not getattr(self._stack.engine, "keeps", False):
            if self._options is None:
                raise UsageError(
                    f"The LM {self.model!r} was created without a cache, so `cache=True` cannot store its replies. "
                    "Create it with `cache=ReplyCache(folder)`, or leave the option out."
                )
            self._stack.cache = reply_cache()
        return wanted

    def direct(self) -> bool:
        """Return whether `send` may replace a call.

        With callbacks, streaming, or a patched `dspy.LM.__call__`, requests have to go through DSPy.
        """
        return (
            not self.callbacks
            and dspy_settings.send_stream is None
            and not dspy_settings.get("callbacks")
            and DspyLM.__call__ is _DSPY_CALL
            and DspyLM.acall is _DSPY_ACALL
            and type(self).__call__ is LM.__call__
        )

    def send(
        self,
        request: Request,
        *,
        rollout: int = 0,
        prefix: Prefix | None = None,
        messages: Callable[[], list[dict[str, Any]]] | None = None,
        cache: bool | None = None,
    ) -> Response:
        """Answer `request` on the short path, and record usage and history as DSPy does.

        Args:
            request: with an effective configuration; see `tunesmith.lm.effective`.
            rollout: 0, or the number of a repeated draw.
            prefix: the prefix of `request`, if it has one; saves hashing it again.
            messages: returns the messages for the history entry.
            cache: whether the cache may answer and store the reply; `None` uses the LM's own `cache`.
        """
        stack = self._stack if self._cached(cache) else self._stack.without_cache()
        response, paid = stack.answer(request, rollout, prefix)
        if paid and dspy_settings.usage_tracker:
            dspy_settings.usage_tracker.add_usage(self.model, _usage(response))
        if not dspy_settings.disable_history:
            self.update_history(  # type: ignore[no-untyped-call]
                {
                    "prompt": None,
                    "messages": None if messages is None else messages(),
                    "kwargs": {} if rollout == 0 else {"rollout_id": rollout},
                    "response": response,
                    "outputs": [response.text],
                    "usage": _usage(response) if paid else {},
                    "cost": None,
                    "timestamp": datetime.datetime.now().isoformat(),  # noqa: DTZ005 - DSPy's form
                    "uuid": str(uuid.uuid4()),
                    "model": self.model,
                    "response_model": response.model,
                    "model_type": "chat",
                    "request": request,
                }
            )
        return response


@contextlib.contextmanager
def _beside(beside: Beside) -> Iterator[None]:
    """Set `BESIDE` for one call of DSPy's LM.

    Raises:
        RequestRefused: DSPy cannot send a part of the request.
    """
    token = BESIDE.set(beside)
    try:
        yield
    except LMUnsupportedFeatureError as error:
        raise refused(f"DSPy cannot send this request: {' '.join(str(error).split())}") from error
    finally:
        BESIDE.reset(token)


def _usage(response: Response) -> dict[str, Any]:
    usage = response.usage
    counts = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    return {name: value for name, value in counts.items() if value is not None}


_CACHES: dict[Path, ReplyCache] = {}


def reply_cache() -> ReplyCache:
    """Return the reply cache of `TUNESMITH_HOME`, opened once per process and folder."""
    folder = cache_dir()
    if folder not in _CACHES:
        _CACHES[folder] = ReplyCache(folder)
    return _CACHES[folder]


def lm(
    spec: str,
    *,
    host: str | Sequence[str] | None = None,
    cache: bool | ReplyCache = True,
    slots: int | None = None,
    price: tuple[float, float] | None = None,
    patience: float | None = None,
    **kwargs: Any,
) -> LM:
    """Return the model that `spec` names, as a `dspy.LM`.

    Args:
        spec: `ollama/<model>` (a model on an Ollama server), `embedded` (SmolLM2-135M-Instruct in this process),
            `gguf:<path>` (your own weight file), or any model string of `dspy.LM`, answered by DSPy's own engine,
            cached and metered.
        host: address of the server, if the engine has one; default for Ollama: OLLAMA_HOST. Several addresses make a
            pool of hosts that serve the same model; see `PoolEngine`.
        cache: whether to store replies in `TUNESMITH_HOME/cache`, or your own `ReplyCache`. `cache=False` of a call, a
            predictor or `lm.copy` turns the cache off there, as in DSPy.
        slots: concurrent requests, on each host of a pool; default `TUNESMITH_SLOTS`, else 1. The default of a model
            in this process is one per core that the process may use, at most 4, and 1 for a file above 1 GB.
        price: US dollars per million input and output tokens, for budgets in dollars.
        patience: seconds that an evaluation or a compile waits if its server stops answering. Then it stops and can be
            resumed. Default `TUNESMITH_PATIENCE`, else 120. 0 stops at once.
        **kwargs: options of the engine, such as `num_ctx`, `threads`, `think` or `base_url` (docs/models.md lists them
            by engine), and request defaults as `dspy.LM` takes them: `temperature`, `max_tokens`, `seed`, `rollout_id`,
            ... An option that the model does not take is refused, here and in each call. The error says what to use
            instead.

    Raises:
        UsageError: the spec or an option cannot be used.
        ModelMissing: the weight file is missing.

    Example:
        >>> import tunesmith as ts
        >>> lm = ts.lm("ollama/qwen3:4b", host="localhost:11434", temperature=0.2)  # calls no server yet
        >>> lm.kwargs["temperature"]
        0.2
    """
    from tunesmith.lm.engines.registry import engine_kind, engine_options  # here, because it imports every engine

    _check(spec, slots, price)
    known = engine_options()
    given = {"host": host, **{name: kwargs.pop(name) for name in sorted(known & kwargs.keys())}}
    kind = engine_kind(spec, given)
    checked = kind.checked(spec, given)
    count = _slots(slots, lambda: kind.slots(spec, checked))
    engine, options = kind.make(spec, checked, count)
    store = reply_cache() if cache is True else (None if cache is False else cache)
    waiting = None if kind.runs_here else Patience(seconds=_patience(patience))
    if patience is not None:
        options = {**options, "patience": patience}
    if kind.runs_here:  # a saved program uses the default of the machine that loads it
        options = {**options, "slots": slots}
    kwargs = {**kind.defaults, **kwargs}
    count *= _hosts(options)
    return build_lm(spec, engine, cache=store, slots=count, price=price, patience=waiting, options=options, **kwargs)


def _hosts(options: dict[str, Any]) -> int:
    """Return the number of hosts of a model. `slots` counts per host."""
    given = options.get("host") or options.get("base_url")
    return len(given) if isinstance(given, list) else 1


def build_lm(
    spec: str,
    engine: Engine,
    /,
    *,
    cache: ReplyCache | bool | None = None,
    slots: int = 1,
    price: tuple[float, float] | None = None,
    patience: Patience | None = None,
    options: dict[str, Any] | None = None,
    **kwargs: Any,
) -> LM:
    """Return an `LM` over any object that implements `Engine`; see `Stack`."""
    _check_whole(slots=slots)
    if not (cache is None or cache is False or isinstance(cache, ReplyCache)):
        raise UsageError(f"`cache` must be a `ReplyCache` here, or false for none. Given: {shown(cache)}.")
    store = cache if isinstance(cache, ReplyCache) else None
    stack = Stack(engine, cache=store, price=price, patience=patience, findings=Findings(spec))
    built = LM(spec, stack, options=options, **kwargs)
    built._slots = slots
    return built


def as_lm(model: BaseLM) -> LM:
    """Return `model` itself, or a metered LM over a `dspy.LM`, which continues to use its own cache.

    One with an address uses the reply cache instead: DSPy's leaves the address out of its keys, and gives the replies
    of one server to another that serves a model of the same name.
    """
    if isinstance(model, LM):
        return model
    from tunesmith.lm.engines.dspy import ForeignEngine

    options = {name: value for name, value in model.kwargs.items() if name not in NEVER_SENT}
    engine = ForeignEngine.over(model)
    if engine.keeps and engine.identity.details:
        return build_lm(model.model, engine.without_cache(), cache=reply_cache(), **options)
    return build_lm(model.model, engine, **options)


def _check_whole(**given: object) -> None:
    for name, value in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UsageError(f"`{name}` must be a whole number from 1. Given: {shown(value)}.")


def _slots(given: int | None, default: Callable[[], int]) -> int:
    if given is not None:
        return given
    text = os.environ.get("TUNESMITH_SLOTS")
    if not text:
        return default()
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(
            f"TUNESMITH_SLOTS must be a whole number from 1. Given: {text!r}. Unset it for the default of the model."
        )
    return int(text)


def _patience(given: float | None) -> float:
    """Return how many seconds a run waits for its server."""
    name, value = "patience", given
    text = os.environ.get("TUNESMITH_PATIENCE", "")
    if given is None and text:
        name, value = "TUNESMITH_PATIENCE", float(text) if _NUMBER.fullmatch(text) else -1.0
    if value is None:
        return Patience().seconds
    if not (waiting.is_time_limit(value) or value == 0) or isinstance(value, bool):
        wrong = text if given is None else given
        raise UsageError(f"`{name}` must be a number of seconds from 0 to a year. Given: {shown(wrong)}.")
    return float(value)


def _check(
    spec: object,
    slots: object,
    price: tuple[float, float] | None,
) -> None:
    if not isinstance(spec, str) or not spec.strip():
        raise UsageError(
            f"An LM spec must be a text. Given: {shown(spec)}. Write `embedded`, `gguf:<path>` or a model "
            "string such as `openai/gpt-4o-mini`."
        )
    if spec != "embedded" and ":" not in spec and "/" not in spec:
        raise UsageError(f"{spec!r} is not an LM spec. Write `embedded`, `gguf:<path>` or `<provider>/<model>`.")
    _check_whole(slots=slots)
    if price is not None and (
        not isinstance(price, tuple)
        or len(price) != 2
        or not all(isinstance(p, (int, float)) and p >= 0 for p in price)
    ):
        raise UsageError(
            f"`price` must be a pair: US dollars per million input and output tokens. Given: {shown(price)}."
        )


@cache
def _slot_names(kind: type) -> tuple[str, ...]:
    """Return the names of the slots that a class and its bases have."""
    return tuple(
        name for each in kind.__mro__ for name, value in vars(each).items() if isinstance(value, MemberDescriptorType)
    )
