"""The documentation site: `make docs` builds it from the pages of this repository as they are.

The source folder is the repository, so that a link from page to page means the same here and where the code is hosted.
"""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from pygments.lexers import JsonLexer, TextLexer
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature

import tunesmith

ROOT = Path(__file__).parents[1]

project = "tunesmith"
author = copyright = "the tunesmith authors"  # noqa: A001 - Sphinx reads this name
version = release = tunesmith.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "examples/*/README.md", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "benchmarks", "build", "dist", "findings", "runs", "tests", "tunesmith"]

html_theme = "furo"
html_title = f"tunesmith {release}"
html_copy_source = False
html_show_sphinx = False
html_extra_path = ["site"]  # sends whoever opens the folder to the first page
html_static_path: list[str] = []

myst_heading_anchors = 4
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
suppress_warnings = ["ref.python"]  # the name of an attribute is looked up as well, and several classes may have it

_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)(?=(\w?))")
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^)#]+)\.md\)", re.MULTILINE)


class PublicNames(SphinxDirective):
    """The docstrings of the public names of a package: those of `tunesmith` that come from there, or all of its own."""

    required_arguments = 1
    option_spec = {"all": lambda given: True}  # noqa: RUF012 - docutils reads it so

    def run(self) -> list[nodes.Node]:
        """Return what autodoc makes of each name, in the order of the alphabet."""
        package = importlib.import_module(self.arguments[0])
        names = _described(package) if "all" in self.options else _promised(package.__name__)
        text = "\n".join(line for name in names for line in _directive(name))
        return self.parse_text_to_nodes(f"```{{eval-rst}}\n{text}\n```")


def _promised(package: str) -> list[str]:
    """Return the names of `tunesmith` that are defined in `package`."""
    return [
        f"tunesmith.{name}"
        for name in tunesmith.__all__
        if f"{getattr(getattr(tunesmith, name), '__module__', '')}.".startswith(f"{package}.")
    ]


def _described(package: ModuleType) -> list[str]:
    """Return the functions and classes of a package with a docstring of their own."""
    names = (name for name in package.__all__ if callable(getattr(package, name)))
    return [f"{package.__name__}.{name}" for name in names if getattr(package, name).__doc__]


def _directive(name: str) -> list[str]:
    package, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(package), attribute)
    if not isinstance(found, type):
        return [f".. autofunction:: {name}", ""]
    kind = "autoexception" if issubclass(found, BaseException) else "autoclass"
    return [f".. {kind}:: {name}", ""]


def _add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Give the pages that list others their tables of contents, which a code host would show as code."""
    if page == root_doc:
        source[0] += "".join(_toctree(*part) for part in _parts(source[0]))
    elif page == "docs/decisions/README":
        source[0] += _toctree("", sorted(p.stem for p in (ROOT / "docs/decisions").glob("[0-9]*.md")))


def _listing_pages(app: Sphinx, env: object, added: object, changed: object, removed: object) -> list[str]:
    """Read the pages again that list others, which may be new."""
    return [root_doc, "docs/decisions/README"]


def _parts(index: str) -> list[tuple[str, list[str]]]:
    """Return the sections of the index with the pages that each links to, and last the pages that none does."""
    texts = _SECTION.split(index)[1:]
    found = [(title, _ENTRY.findall(text)) for title, text in zip(texts[::2], texts[1::2], strict=True)]
    listed = {page for _, entries in found for _, page in entries} | {"index"}
    others = sorted(path.stem for path in (ROOT / "docs").glob("*.md") if path.stem not in listed)
    parts = [(title, [f"{name} <{page}>" for name, page in entries]) for title, entries in found]
    return [*parts, *([("More", others)] if others else [])]


def _toctree(caption: str, pages: list[str]) -> str:
    options = [":hidden:", ":maxdepth: 1", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *options, "", *pages, "```", ""])


def _mark_code(app: Sphinx, kind: str, name: str, found: object, options: object, lines: list[str]) -> None:
    """Write code between single backticks as reStructuredText does, where a letter may not follow, as in `Tool`s."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else _CODE.sub(_literal, line) for line in lines]


def _sign_modules(
    app: Sphinx, kind: str, name: str, found: Any, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Take the parameters of a module from its constructor: DSPy's class of these classes hides them."""
    if kind != "class" or signature != "(*args, **kwargs)":
        return signature, returns
    parameters = list(inspect.signature(found.__init__).parameters.values())[1:]
    return stringify_signature(inspect.Signature(parameters), unqualified_typehints=True), returns


def _literal(found: re.Match[str]) -> str:
    return f"``{found[1]}``{chr(92) + ' ' if found[2] else ''}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what this site adds to Sphinx."""
    app.add_directive("public-names", PublicNames)
    app.add_lexer("jsonl", JsonLexer)
    app.add_lexer("csv", TextLexer)
    app.add_lexer("mermaid", TextLexer)  # a code host draws it; here it is text
    app.connect("source-read", _add_contents)
    app.connect("env-get-outdated", _listing_pages)
    app.connect("autodoc-process-signature", _sign_modules)
    app.connect("autodoc-process-docstring", _mark_code, priority=400)  # before napoleon, which splits at colons
    return {"parallel_read_safe": True}
