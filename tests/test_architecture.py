"""The shape of the package, enforced. One rule per test; a failure names the file that broke it."""

import ast
import importlib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from tests.each import each

ROOT = Path(__file__).parents[1] / "tunesmith"

LAYERS = [  # a file may import only from layers above its own in this list
    "lazy",
    "errors",
    "notebook",
    "atomic",
    "sqlite",
    "options",
    "signatures",
    "data",
    "lm",
    "formats",
    "modules",
    "metrics",
    "evaluation",
    "compilers",
    "artifacts",
    "experiments",
    "serve",
    "cli",
    "__main__",
]
INDEPENDENT = {
    ("artifacts", "compilers"),
    ("serve", "compilers"),
    ("serve", "experiments"),
}
DOORS = {  # third-party package: the only files that may import it
    "bm25s": ["modules/retrieval/word_index.py"],
    "click": ["cli/*"],
    "cryptography": ["artifacts/keys.py"],
    "dask": ["evaluation/executors/dask.py"],
    "diskcache": ["lm/cache/table.py"],
    "distributed": ["evaluation/executors/dask.py"],
    "dspy": [
        "signatures/signature.py",
        "lm/engine.py",
        "formats/format.py",
        "modules/module.py",
        "evaluation/subject.py",
        "compilers/compiler.py",
        "compilers/dspy_compiler.py",
    ],
    "fastapi": ["serve/web.py"],
    "jinja2": ["experiments/report/page.py"],
    "litellm": [],
    "mcp": ["modules/agents/mcp_tools.py"],
    "mlflow": ["experiments/tracking/to_mlflow.py"],
    "ollama": ["lm/engines/ollama/engine.py"],
    "openai": ["lm/engines/openai/server.py"],
    "opentelemetry": ["serve/tracing.py"],
    "optuna": ["compilers/_study.py"],
    "pygal": ["experiments/report/charts.py"],
    "pypdf": ["modules/retrieval/pdf.py"],
    "prometheus_client": ["serve/metrics.py"],
    "pydantic_monty": ["modules/reasoning/sandbox.py"],
    "rich": ["cli/*", "experiments/progress.py"],
    "starlette": ["serve/web.py"],
    "usearch": ["modules/retrieval/vector_graph.py"],
    "uvicorn": ["serve/server.py"],
    "wandb": ["experiments/tracking/to_wandb.py"],
    "xllamacpp": ["lm/engines/llamacpp/context.py"],
}
RUNS_CODE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
PARTS = {part: [file for file in FILES if file.split("/")[0] == part] for part in {f.split("/")[0] for f in FILES}}
every_part = each("part", sorted(PARTS))
PACKAGES = [file for file in FILES if file.endswith("__init__.py")]


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


@cache
def nodes(file: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(file)))


def layer_of(file: str) -> str:
    return file.split("/")[0].removesuffix(".py")


@cache
def imports(file: str) -> list[tuple[str, str]]:
    """Return every `(module, name)` the file imports: at the top, in functions, for typing.

    `importlib.import_module("...")` counts where the name is written out.
    """
    found = []
    for node in nodes(file):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} uses a relative import"
            found += [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            named = node.args[0] if node.args else None
            if isinstance(named, ast.Constant):
                found.append((str(named.value), ""))
    return found


def writes_to_the_terminal(file: str) -> bool:
    return layer_of(file) == "cli" or file == "experiments/progress.py"


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", "") or getattr(node.func, "id", "")


def modules_of(file: str) -> set[str]:
    """Return every module whose code the file's imports name, `from package import file` included."""
    return {name for module, part in imports(file) for name in (module, f"{module}.{part}")}


def test_the_walk_sees_the_package() -> None:
    assert len(FILES) > 30, "found too few files to check; the rules below would pass on nothing"
    assert {layer_of(file) for file in FILES} - {"__init__"} <= set(LAYERS)


@each("part", sorted(PARTS.keys() - {"__init__.py"}))
def test_imports_point_to_lower_layers_and_public_names(part: str) -> None:
    for file in PARTS[part]:
        for module, name in imports(file):
            if module.split(".")[0] == ROOT.name:
                check_import(file, module, name)


def check_import(file: str, module: str, name: str) -> None:
    own = layer_of(file)
    other, *inner = [*module.split("."), name][1:]
    assert other in LAYERS, f"the top of the package is for users, not for {file} ({name})"
    if other == own:
        return
    assert LAYERS.index(other) < LAYERS.index(own), f"{file}: {own} may not import {other} ({module})"
    assert (own, other) not in INDEPENDENT, f"{file}: {own} and {other} are independent ({module})"
    if inner in ([], [""]):
        return  # the package as a whole
    assert inner == [name], f"{file}: import `{name}` from `{ROOT.name}.{other}`, not `{module}`"
    if (ROOT / other).is_dir():
        public = importlib.import_module(module).__all__
        assert name in public, f"{file}: `{name}` is not public in `{module}`"
    else:
        assert not name.startswith("_"), f"{file}: `{name}` is private to `{module}`"


@every_part
def test_inside_a_package_names_come_from_their_file(part: str) -> None:
    for file in (file for file in PARTS[part] if file not in PACKAGES):
        package = ".".join([ROOT.name, *Path(file).parent.parts])
        for module, name in imports(file):
            beside = ROOT / Path(file).parent / name
            is_file = beside.is_dir() or beside.with_suffix(".py").exists()
            assert module != package or is_file, f"{file} imports `{name}` from its own package"


@each("package", sorted(DOORS))
def test_a_third_party_package_has_its_doors(package: str) -> None:
    users = {file for file in FILES if any(module.split(".")[0] == package for module, _ in imports(file))}
    strangers = {file for file in users if not any(fnmatch(file, door) for door in DOORS[package])}
    assert not strangers, f"{sorted(strangers)} may not import {package}"


@every_part
def test_nothing_turns_data_into_code(part: str) -> None:
    for file in PARTS[part]:
        used = {module.split(".")[0] for module, _ in imports(file)} & RUNS_CODE
        assert not used, f"{file} imports {used}"
        for node in (node for node in nodes(file) if isinstance(node, ast.Call)):
            is_name = isinstance(node.func, ast.Name)
            bad = is_name and called(node) in {"eval", "exec", "compile", "__import__"}
            assert not bad, f"{file}:{node.lineno} calls {called(node)}"
            pickles = [
                key for key in node.keywords
                if key.arg == "allow_pickle" and getattr(key.value, "value", True) is not False
            ]  # fmt: skip
            assert not pickles, f"{file}:{node.lineno} allows pickle"


@every_part
def test_only_the_command_line_prints(part: str) -> None:
    for file in (file for file in PARTS[part] if not writes_to_the_terminal(file)):
        for node in nodes(file):
            prints = isinstance(node, ast.Name) and node.id == "print"
            assert not prints, f"{file}:{node.lineno} prints"


@every_part
def test_annotations_are_real(part: str) -> None:
    for file in PARTS[part]:
        assert ("__future__", "annotations") not in imports(file), f"{file} postpones annotations"


def test_modules_form_no_cycle() -> None:
    names = {file: f"{ROOT.name}." + file.removesuffix(".py").replace("/", ".") for file in FILES}
    names = {file: name.removesuffix(".__init__") for file, name in names.items()}
    inner = {file: name for file, name in names.items() if file not in PACKAGES}
    graph = {name: modules_of(file) & set(inner.values()) - {name} for file, name in inner.items()}
    while free := {name for name in graph if not graph[name] or all(name not in used for used in graph.values())}:
        graph = {name: used - free for name, used in graph.items() if name not in free}
    assert not graph, f"import cycle among {sorted(graph)}"


@each("word", ["base", "common", "helper", "helpers", "misc", "util", "utils"])
def test_no_file_is_named_for_nothing(word: str) -> None:
    assert not [file for file in FILES if word in Path(file).stem.split("_")]
    assert not [path for path in ROOT.rglob(word) if path.is_dir()]


@each("file", PACKAGES)
def test_public_names_are_sorted_exist_and_hide_no_file(file: str) -> None:
    assert ast.get_docstring(tree(file)), f"{file} does not say what the package is"
    if len(tree(file).body) == 1:
        return  # a folder of files that are imported by name
    dotted = ".".join([ROOT.name, *Path(file).parent.parts])
    module = importlib.import_module(dotted)
    assert module.__all__ == sorted(module.__all__, key=str.casefold)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    siblings = {path.stem for path in (ROOT / file).parent.iterdir()} & set(module.__all__)
    hidden = {name for name in siblings if getattr(module, name) is not importlib.import_module(f"{dotted}.{name}")}
    assert not hidden, f"{dotted}: the public names {hidden} hide the files of the same name"
