"""A manifest that somebody changed, and sealed again with hashes that fit, loads correctly or is an `ArtifactError`.

None runs code, none writes or asks anything, none takes long, and none says where a model is.
"""

import copy
import inspect
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dspy
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from tests.artifacts.programs import PLACE_DEMO, TwoSteps, improved, saved
from tests.scale import scaled
from tunesmith.artifacts import load, save
from tunesmith.artifacts.manifest import render, seal, sha256_of
from tunesmith.artifacts.saving import _as_it_is
from tunesmith.artifacts.state import _demos
from tunesmith.errors import ArtifactError
from tunesmith.lm import PORTABLE, BaseLM, is_portable
from tunesmith.modules import (
    BM25,
    RAG,
    Candidate,
    Chain,
    ChainOfThought,
    Classify,
    Corpus,
    DspyPredict,
    GraphOfThoughts,
    Memory,
    Nearest,
    Predict,
    Rewriter,
    Router,
    SelfConsistency,
    TreeOfThoughts,
    operations,
)
from tunesmith.signatures import Demo

_HOSTILE = "hostile_module"
_SAFE = ("tunesmith.", "dspy.", "tests.")
_MOST = 5.0  # CPU seconds of one load, on any machine

WORDS = [
    f"{_HOSTILE}:Program", f"{_HOSTILE}.Type", f"__import__('{_HOSTILE}')", f"Literal[{_HOSTILE}]", "http://hostile.example",
    "openai/hostile", "gguf:/etc/passwd", "ollama/hostile", "/etc/passwd", "../../../../etc/passwd", "/dev/zero", ".", "",
    "os:system", "subprocess:Popen", "dspy.predict.predict:Predict", "tunesmith.cli.demo:run", "tunesmith.modules:nothing",
    "tunesmith.modules.predict:Predict", "tunesmith.modules.predict:ChainOfThought", "tunesmith.modules.react:ReAct",
    "tunesmith.modules.chain:Chain", "tunesmith.modules.memory:Memory", "tunesmith.modules.retrieval.vectors:Vectors",
    "tunesmith.modules.mcp_tools:MCPTools", "tunesmith.modules.retrieval.pgvector:PgVector", "self", "predict", "function",
    "list[" * 60 + "int" + "]" * 60, "int | " * 500 + "int", "Literal['a']", "dict[str, int]", "bytes", "json", "scored",
    "(a+)+$", "x" * 2000, "{" * 100, "\x00", "\N{GRINNING FACE}", "__class__", "${text}",
]  # fmt: skip
KEYS = [
    "api_base", "base_url", "api_key", "model", "headers", "lm", "callbacks", "embed", "corpus", "path", "sha256", "passages",
    "spec", "value", "class", "tools", "signature", "clock", "samples", "k", "temperature", "_compiled", "forward", "__class__",
    "self", "predict", "topic", "step", "text", "reasoning", "desc", "tunesmith_format", "fields",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 10**6, 2**63, 10**30, 0.5, -0.0, 1e308, 5e-324]
scalars = st.sampled_from([None, True, False, *NUMBERS, *WORDS]) | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


def programs(folder: Path) -> Iterator[tuple[dspy.Module, Mapping[str, Any]]]:
    """Give programs with all that a manifest can hold, and how each is loaded."""
    corpus = Corpus.of(["Oslo is in Norway.", "Rome is in Italy."]).save(folder / "corpus.jsonl")
    topics = "text: str -> topic: Literal['food', 'room']"
    chain = Chain(topic=Predict(topics, temperature=0.5), reply=SelfConsistency(ChainOfThought("text, topic -> reply")))
    demos = [Demo({"text": f"The {word} was good."}, {"topic": "food"}) for word in ("soup", "bread", "fish")]
    yield Candidate.of(chain).with_demos("topic", demos, Nearest(k=2)).apply(chain), {}
    frozen = Chain(first=ChainOfThought("text -> topic"), second=Predict("topic, text -> stars: int, tags: list[str]"))
    frozen.first._compiled = True
    yield frozen, {}
    yield RAG(BM25(corpus), ChainOfThought("question -> answer"), k=1), {}
    yield Memory(Predict("memory, message -> reply")), {}
    yield Classify(Predict(topics), fallback="room"), {}
    yield Rewriter(ChainOfThought("text -> topic"), "text", protect=["IBAN"]), {}
    yield Router("text", {"left": "the left one"}, left=ChainOfThought(topics), right=Predict(topics)), {}
    yield TreeOfThoughts("question -> answer", "sample", depth=1, generated=2, evaluations=1), {}
    graph = [operations.Generate("drafts", "draft", times=2), operations.KeepBest("one")]
    yield GraphOfThoughts(graph, draft=ChainOfThought("question -> answer")), {}
    two = TwoSteps()
    yield improved(two, PLACE_DEMO, path="locate").apply(two), {"program": TwoSteps}


class Base:
    """An artifact to change."""

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        self.folder, self.options = folder, options
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.state = json.loads((folder / "state.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Base]:
    folder = tmp_path_factory.mktemp("bases")
    found = [Base(saved(folder / "one").path, {})]
    for number, (program, options) in enumerate(programs(folder)):
        found.append(Base(save(folder / str(number), program).path, options))
    return found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A module that can be imported, and leaves a file if it is."""
    folder = tmp_path_factory.mktemp("hostile")
    mark = folder / "imported"
    (folder / f"{_HOSTILE}.py").write_text(f"open({str(mark)!r}, 'w')\nclass Program: pass\nType = int\n")
    sys.path.insert(0, str(folder))
    yield mark
    sys.path.remove(str(folder))


# What a load does --------------------------------------------------------------------------------------------------

_seen: list[str] | None = None
_FORBIDDEN = {
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn",
    "socket.connect", "socket.bind", "socket.getaddrinfo", "os.putenv", "os.unsetenv", "os.remove", "os.rename", "os.mkdir",
    "os.rmdir", "os.chmod", "os.truncate", "os.symlink", "os.link", "pickle.find_class", "urllib.Request",
}  # fmt: skip


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event in _FORBIDDEN:
        if "__pycache__" not in str(arguments):
            _seen.append(f"{event} {arguments}")
    elif event == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        if "/etc/passwd" in str(path) or (writes and "__pycache__" not in str(path)):
            _seen.append(f"{event} {arguments}")
    elif event == "import" and str(arguments[0]).startswith(_HOSTILE):
        _seen.append(f"{event} {arguments[0]}")


sys.addaudithook(_watch)  # it cannot be removed, and does nothing outside of `watched`


@contextmanager
def watched() -> Iterator[None]:
    """Fail if what is inside starts a process, opens a connection, writes a file, or imports the hostile module."""
    global _seen
    _seen, start = [], time.process_time()
    try:
        yield
    finally:
        seen, _seen = _seen, None
    assert not seen, seen
    assert time.process_time() - start < _MOST


def check_loaded(program: dspy.Module) -> None:
    """Check that a loaded program says nothing about where a model is, and is of known classes."""
    for _, item in program.named_sub_modules(object):
        assert not isinstance(item, BaseLM)
        if isinstance(item, dspy.Module):
            assert type(item).__module__.startswith(_SAFE)
        if isinstance(item, DspyPredict):
            assert item.lm is None
            assert all(name in PORTABLE and is_portable(name, value) for name, value in item.config.items())


# Changes -----------------------------------------------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def replaced(document: Any, path: tuple[Any, ...], draw: Callable[[Any], Any]) -> None:
    at(document, path[:-1])[path[-1]] = draw(values)


def nudged(document: Any, path: tuple[Any, ...], draw: Callable[[Any], Any]) -> None:
    """Change a value into another one of its kind, so that the shape stays."""
    holder, key = at(document, path[:-1]), path[-1]
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int | float):
        holder[key] = draw(st.sampled_from(NUMBERS))
    elif isinstance(value, str):
        holder[key] = draw(st.sampled_from([*WORDS, value + "x", value.upper()]))
    elif isinstance(value, list):
        holder[key] = value[::-1]


def removed(document: Any, path: tuple[Any, ...], draw: Callable[[Any], Any]) -> None:
    del at(document, path[:-1])[path[-1]]


def added(document: Any, path: tuple[Any, ...], draw: Callable[[Any], Any]) -> None:
    holder = at(document, path[:-1])
    if isinstance(holder, dict):
        holder[draw(st.sampled_from([*KEYS, *WORDS]))] = draw(values)
    else:
        holder.insert(path[-1], draw(values))


def copied(document: Any, path: tuple[Any, ...], draw: Callable[[Any], Any]) -> None:
    """Put a value of the document itself in the place of another one."""
    other = draw(st.sampled_from(sorted(places(document), key=str)))
    at(document, path[:-1])[path[-1]] = copy.deepcopy(at(document, other))


def renamed(document: Any, path: tuple[Any, ...], draw: Callable[[Any], Any]) -> None:
    holder = at(document, path[:-1])
    if isinstance(holder, dict):
        holder[draw(st.sampled_from([*KEYS, *WORDS]))] = holder.pop(path[-1])


CHANGES = [replaced, nudged, nudged, removed, added, copied, renamed]


def changed(document: Any, draw: Callable[[Any], Any]) -> None:
    every = sorted(places(document), key=str)
    inner = [path for path in every if path[0] in ("program", "candidate")]
    path = draw(st.sampled_from(inner) if inner and draw(st.integers(0, 3)) else st.sampled_from(every))
    draw(st.sampled_from(CHANGES))(document, path, draw)


def follow(state: Any, manifest: Any) -> None:
    """Let the state say what the changed manifest says, as far as it can, so that the load goes on."""
    try:
        predictors, candidate = manifest["program"]["predictors"], manifest["candidate"]
        for path, predictor in predictors.items():
            entry = state if set(predictors) == {"self"} else state[path]
            names = [field["name"] for field in predictor["signature"]["fields"]]
            entry["demos"] = _demos(path, candidate, names)
            entry["signature"]["instructions"] = inspect.cleandoc(candidate["parts"][path]["instruction"])
            entry["tunesmith_format"] = candidate["parts"][path]["format"]
            entry.pop("config", None)
            entry.pop("tunesmith_offsets", None)
        manifest["sampling"] = candidate["sampling"]
    except (KeyError, TypeError, AttributeError, IndexError):
        pass


def write(folder: Path, manifest: Any, state: Any) -> None:
    """Write both files, with hashes that fit where there can be some."""
    raw = json.dumps(state).encode()
    (folder / "state.json").write_bytes(raw)
    content = {name: value for name, value in manifest.items() if name not in ("sha256", "unhashed", "unhashed_sha256")}
    if "state_sha256" in content:
        content["state_sha256"] = sha256_of(raw)
    try:
        text = render(seal(content, manifest.get("unhashed", {})))
    except (ArtifactError, ValueError):
        text = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(text)


@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=scaled(500),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=set(Phase) - {Phase.explain},
)
@given(data=st.data())
def test_a_mutated_manifest_loads_correctly_or_is_an_artifact_error(
    bases: list[Base], hostile: Path, data: st.DataObject
) -> None:
    base = data.draw(st.sampled_from(bases), label="base")
    manifest, state = copy.deepcopy(base.manifest), copy.deepcopy(base.state)
    for _ in range(data.draw(st.integers(1, 3), label="changes")):
        changed(manifest, data.draw)
    if data.draw(st.integers(0, 9), label="state") == 0:
        changed(state, data.draw)
    else:
        follow(state, manifest)
    folder = base.folder.parent / "changed"
    shutil.copytree(base.folder, folder, dirs_exist_ok=True)
    write(folder, manifest, state)
    environment = dict(os.environ)

    with watched():
        try:
            loaded = load(folder, **base.options)
        except ArtifactError:
            loaded = None
    if loaded is not None:
        check_loaded(loaded)
        for part in manifest["candidate"]["parts"].values():
            part["instruction"] = inspect.cleandoc(part["instruction"])  # as DSPy does
        signatures = {path: predictor.signature for path, predictor in loaded.named_predictors()}
        wanted = Candidate.from_json(manifest["candidate"], signatures)  # with the values of demos in their types
        assert _as_it_is(loaded).parts == wanted.parts
    event("refused" if loaded is None else "loaded")
    assert dict(os.environ) == environment
    assert not hostile.exists()


def test_a_manifest_that_nobody_changed_loads_by_the_same_way(bases: list[Base]) -> None:
    for base in bases:
        manifest, state = copy.deepcopy(base.manifest), copy.deepcopy(base.state)
        follow(state, manifest)
        folder = base.folder.parent / "changed"
        shutil.copytree(base.folder, folder, dirs_exist_ok=True)
        write(folder, manifest, state)
        with watched(), warnings.catch_warnings():
            warnings.simplefilter("error")
            check_loaded(load(folder, **base.options))


def test_the_watch_sees_what_it_forbids(tmp_path: Path, hostile: Path) -> None:
    for act in (
        lambda: os.system("true"),
        lambda: (tmp_path / "x").write_text("x"),
        lambda: Path("/etc/passwd").read_bytes(),
        lambda: __import__("socket").getaddrinfo("localhost", 1),
    ):
        with pytest.raises(AssertionError), watched():
            act()
