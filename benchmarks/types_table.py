"""Every type of output in its default format on the embedded model, and the tables of what is held in docs/formats.md.

    python benchmarks/types_table.py           measure, write types.json and the table
    python benchmarks/types_table.py --render  write the table from types.json
    python benchmarks/types_table.py --check   exit 1 where the page says something else

The types are those of tests/formats/types.py. Whether one is held is found by drawing replies that its constraint
allows (tests/formats/held.py). Results are written after every type, and replies come from the cache where they are
there.
"""

import argparse
import json
import re
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import dspy

import tunesmith as ts
from tunesmith.errors import ParseError
from tunesmith.formats import default_format

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.formats.held import FORMATS, verdict  # noqa: E402 - the tests are no package of their own
from tests.formats.types import TYPES, OutputType, signature_of  # noqa: E402

OUT = HERE / "types.json"
DOCS = HERE.parent / "docs" / "formats.md"
TOKENS = 512  # what a reply may have by default
TEXTS = (
    "Ada Stone paid 12.50 EUR for invoice INV-2231 on 2024-03-01; see https://example.org/pay or call 10.0.0.1.",
    "Three of the five reviews were positive, the last one came at 12:30 and took two hours to write.",
    "My order 998877665544332211 never came. I am angry, and I want my money back by Friday.",
    "red",
)
_BLOCK = re.compile(r"(<!-- table: (types|unended) -->\n).*?(<!-- end -->)", re.DOTALL)
MOST_ERRORS = 0.02  # of the replies of a type


def measured(one: OutputType, texts: tuple[str, ...]) -> dict[str, Any]:
    """Return how many replies in the type's default format could not be read, and why."""
    signature = signature_of(one.kind)
    predict, reasons = ts.Predict(signature), Counter[str]()
    for text in texts:
        try:
            with dspy.context(lm=ts.lm("embedded", max_tokens=TOKENS)):
                predict(text=text)
        except ParseError as error:
            reasons[error.reason] += 1
    return {"type": one.name, "calls": len(texts), "errors": reasons.total(), "reasons": dict(reasons)}


def measure(texts: tuple[str, ...], out: Path | None) -> list[dict[str, Any]]:
    """Measure every type that is not refused, and write what there is after each."""
    found = []
    for one in TYPES:
        if default_format(signature_of(one.kind)) == "chat":
            continue
        found.append(measured(one, texts))
        print(json.dumps(found[-1], ensure_ascii=False), flush=True)
        if out is not None:
            out.write_text(json.dumps({"types": found}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def cell(one: OutputType, engine: str) -> str:
    """Return what is held of a type by an engine that takes a grammar, or a schema only."""
    signature = signature_of(one.kind)
    by_format = {name: verdict(signature, name, engine) for name in FORMATS}
    if set(by_format.values()) == {"refused"}:
        return "refused before a call"
    names = FORMATS if engine == "grammar" else FORMATS[:2]
    loose = [f"`{name}`" for name in names if by_format[name] == "not held"]
    if len(loose) == len([name for name in names if by_format[name] != "free"]) and loose:
        return "not held"
    return f"held, not in {', '.join(loose)}" if loose else "held"


def table(found: list[dict[str, Any]]) -> str:
    """Return the table of the docs."""
    rows = {row["type"]: row for row in found}
    lines = [
        "| type | default | with a grammar | with a schema only | unreadable, embedded model |",
        "|---|---|---|---|---|",
    ]
    for one in TYPES:
        row = rows.get(one.name)
        said = "no call" if row is None else f"{row['errors']} of {row['calls']}"
        name = one.name.replace("|", "\\|")
        default = default_format(signature_of(one.kind))
        lines.append(f"| {name} | `{default}` | {cell(one, 'grammar')} | {cell(one, 'schema')} | {said} |")
    return "\n".join(lines)


def unended(found: list[dict[str, Any]]) -> str:
    """Return the table of the types of which more replies cannot be read than should be, and why."""
    lines = [
        "| type | unreadable | a bound of ours or `max_tokens` is met first | the value is refused |",
        "|---|---|---|---|",
    ]
    for row in found:
        if row["errors"] > MOST_ERRORS * row["calls"]:
            cut = row["reasons"].get("truncated", 0)
            name = row["type"].replace("|", "\\|")
            lines.append(f"| {name} | {row['errors'] / row['calls']:.0%} | {cut} | {row['errors'] - cut} |")
    return "\n".join(lines)


def rendered(text: str) -> str:
    """Return a page with both tables made anew."""
    if not OUT.exists():
        return text
    found = json.loads(OUT.read_text(encoding="utf-8"))["types"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {"types": table(found), "unended": unended(found)}
    return _BLOCK.sub(lambda match: f"{match.group(1)}{made[match.group(2)]}\n{match.group(3)}", text)


def main() -> None:
    """Measure, or render what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--texts", type=int, default=len(TEXTS), help="texts per type")
    args = parser.parse_args()
    if not (args.render or args.check):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measure(TEXTS[: args.texts], OUT)
    text = DOCS.read_text(encoding="utf-8")
    wanted = rendered(text)
    if args.check:
        sys.exit(0 if wanted == text else "docs/formats.md does not say what was found: run with --render.")
    DOCS.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
