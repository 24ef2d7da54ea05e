"""The arguments and options of `tunesmith data`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.completing import RunName
from tunesmith.cli.options import (
    hard_by_option,
    json_option,
    lm_option,
    no_store_option,
    quiet_option,
    reading_options,
    unneeded_quiet_option,
)

__all__ = ["command"]

_path = click.Path(path_type=Path)
_file = click.argument("file", type=_path, metavar="FILE")
_signature = click.option(
    "--signature", metavar="SIGNATURE", help="What a row holds: 'text -> label', or MODULE:CLASS of the project."
)
_inputs = click.option(
    "--inputs", metavar="FIELD,...", help="The inputs, without a signature. Default: all but labels and row numbers."
)
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws other rows.")
_force = click.option("--force", is_flag=True, help="Replace files that exist.")
_near = click.option(
    "--near",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    metavar="SIMILARITY",
    help="Rows at least this similar are nearly the same.",
)


class _Share(click.ParamType):  # type: ignore[type-arg]  # older versions of click have no argument
    """A number of rows, or a share of them if it has a point."""

    name = "rows or share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Return the number."""
        try:
            return value if isinstance(value, int | float) else float(value) if "." in value else int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of rows, such as 100, nor a share, such as 0.6.", param, ctx)


@click.group(name="data")
def command() -> None:
    """Check, split, sample, convert, make and mine examples.

    FILE is JSONL, JSON, YAML, CSV, TSV or Parquet (docs/data.md).
    """


@command.command(short_help="Find wrong rows, duplicates and leaks.")
@click.argument("files", type=_path, nargs=-1, metavar="[FILE...]")
@click.option("--train", type=_path, help="The file of the training examples.")
@click.option("--val", type=_path, help="The file of the validation examples.")
@click.option("--test", type=_path, help="The file of the test examples.")
@_signature
@_inputs
@click.option("--label", "labels", multiple=True, metavar="FIELD", help="Count the values of this field. Repeatable.")
@_near
@click.option("--no-near", is_flag=True, help="Do not look for rows that are nearly the same.")
@lm_option
@reading_options
@click.option("--strict", is_flag=True, help="Exit with 4 if there is a problem.")
@click.option("--fail-on", multiple=True, metavar="KIND", help="Exit with 4 if there is a finding of this kind.")
@json_option
@unneeded_quiet_option
def check(**given: Any) -> int:
    """Look for what is wrong with data: wrong rows, duplicates, leaks between splits, labels, lengths, language.

    Without files it checks the splits of the project. With --lm it counts the tokens of each field.

    \b
    Problems: wrong-row, contradiction (the same inputs with another label), duplicate, leak (the same inputs in two
    splits), near-leak, mixed-types. Other findings: near-duplicate, empty, imbalance, language.
    tunesmith data check reviews.csv --signature 'text -> label'
    tunesmith data check --train train.jsonl --test test.jsonl --strict
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli import data

    return data.check(**given)


@command.command(short_help="Split FILE into train, val and test.")
@_file
@click.option("--train", type=_Share(), help="Number of rows (100) or share of them (0.6) of the training split.")
@click.option("--val", type=_Share(), help="The same for the validation split.")
@click.option("--test", type=_Share(), help="The same for the test split.")
@click.option("--stratify", metavar="FIELD", help="Keep the proportions of its values in every split.")
@click.option("--group", metavar="FIELD", help="Keep rows with the same value together, such as an author.")
@_signature
@_inputs
@_near
@click.option("--no-near", is_flag=True, help="Keep only rows with the same inputs together.")
@_seed
@reading_options
@click.option("--out", type=_path, required=True, metavar="DIR", help="The folder to write the splits into.")
@_force
@json_option
@unneeded_quiet_option
def split(**given: Any) -> int:
    """Split FILE into train, val and test. The same rows and seed give the same splits.

    Rows that are the same, or nearly the same, always land in one split. A table gives tables, other files give JSONL.

    \b
    tunesmith data split reviews.csv --train 0.6 --val 0.2 --test 0.2 --stratify label --group author --out data
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli import data

    return data.split(**given)


@command.command(short_help="Draw rows of FILE at random.")
@_file
@click.option("-n", "count", type=click.IntRange(min=1), required=True, metavar="ROWS", help="How many rows.")
@click.option("--stratify", metavar="FIELD", help="Keep the proportions of its values.")
@_seed
@reading_options
@click.option("--out", type=_path, metavar="FILE", help="The .jsonl, .csv or .tsv file to write. Default: stdout.")
@_force
@json_option
@unneeded_quiet_option
def sample(**given: Any) -> int:
    """Draw rows of FILE at random. The same rows and seed give the same sample.

    \b
    tunesmith data sample reviews.csv -n 50 --stratify label --out some.jsonl
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli import data

    return data.sample(**given)


@command.command(short_help="Convert FILE from another shape.")
@_file
@click.option("--to", type=_path, required=True, metavar="FILE", help="The .jsonl, .csv or .tsv file to write.")
@click.option("--from", "shape", metavar="SHAPE", help="The shape of FILE. Default: told by its first rows.")
@reading_options
@click.option(
    "--labels",
    multiple=True,
    metavar="FIELD=NAME,...",
    help="The names of label ids, from 0: label=bad,good. Repeatable.",
)
@click.option("--keep", metavar="FIELD,...", help="Keep these fields too, though the shape has no use for them.")
@click.option("--skip-bad", is_flag=True, help="Leave wrong rows out, instead of stopping at the first.")
@click.option("--dry-run", is_flag=True, help="Show the preview and write nothing.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@_force
@json_option
@unneeded_quiet_option
def convert(**given: Any) -> int:
    """Convert FILE from another program's shape to rows with plain fields.

    It knows files of SQuAD, GSM8K, promptfoo, Alpaca, ShareGPT and Hugging Face, among others; docs/data.md has the
    table. A preview shows the first rows, the fields, and what is left out; then it asks.

    \b
    tunesmith data convert dev-v2.0.json --to squad.jsonl
    tunesmith data convert promptfooconfig.yaml --to tests.jsonl --yes
    tunesmith data convert export.csv --to rows.jsonl --delimiter '|' --columns label=Topic
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli import data_convert

    return data_convert.run(**given)


@command.command(short_help="Make new examples with a teacher.")
@click.argument("seeds", type=_path, metavar="SEEDS")
@click.option("--to", type=_path, required=True, metavar="FILE", help="The .jsonl file to write.")
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="How many new ones.")
@_signature
@reading_options
@lm_option
@click.option("--budget-calls", type=click.IntRange(min=1), default=200, show_default=True, help="The most calls.")
@click.option("--budget-tokens", type=click.IntRange(min=1), help="The most tokens, in and out.")
@click.option(
    "--similarity",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.7,
    show_default=True,
    help="Leave out a text whose ROUGE-L with another one is above this.",
)
@_seed
@no_store_option
@_force
@json_option
@quiet_option
def synth(**given: Any) -> int:
    """Make new examples from the SEEDS with a teacher model, as Self-Instruct does.

    With a signature, --signature or the project's, SEEDS are rows of it, and so are the new ones: if the output is a
    label, the label comes first and inputs for it are asked for; otherwise new inputs come first and the teacher
    answers them. Without one, SEEDS are tasks (`instruction` with `instances`, or with `input` and `output`), and
    new tasks with instances are made. Every row says in `provenance` how it was made. Read them before you use them.

    The teacher is --lm, else the project's teacher_lm or lm. Replies are cached, so the same command goes on after a
    stop, and with more calls.

    \b
    tunesmith data synth reviews.jsonl --signature 'text -> label' -n 50 --to more.jsonl --lm ollama/qwen3:4b
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli import data_synth

    return data_synth.run(**given)


@command.command(short_help="Find the hard examples of a run.")
@click.argument("name", type=RunName(), metavar="RUN")
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="At most how many.")
@hard_by_option
@click.option(
    "--split",
    type=click.Choice(["validation", "test"]),
    default="validation",
    show_default=True,
    help="The examples looked at.",
)
@click.option(
    "--least", type=click.IntRange(min=1), default=2, show_default=True, help="Candidates that must have been scored."
)
@click.option("--to", type=_path, metavar="FILE", help="The .jsonl, .csv or .tsv file to write them into.")
@_force
@json_option
@unneeded_quiet_option
def mine(**given: Any) -> int:
    """Find the hard examples of RUN in its ledger, with no call of a model.

    An example that every candidate gets wrong is either hard or has a wrong label; one on which they disagree often is
    ambiguous. Do not move rows of a split into the training examples and go on measuring with that split.

    \b
    tunesmith data mine first --by disagreement -n 10
    tunesmith data mine first --to hard.jsonl
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli import data_mine

    return data_mine.run(**given)
