"""The arguments and options of `tunesmith serve`."""

from pathlib import Path
from typing import Any

import click

from tunesmith.cli.options import (
    allow_option,
    artifact_lm_option,
    json_option,
    no_store_option,
    slots_option,
    trusted_option,
)

__all__ = ["command"]


@click.command(name="serve")
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT [NAME=ARTIFACT...]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; others need a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for any free one.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="File with the token that clients send. Default: the text in "
    "TUNESMITH_SERVE_TOKEN, else none."
)  # fmt: skip
@click.option(
    "--origin", multiple=True, metavar="ORIGIN", help="Let web pages of https://app.example ask it, too. May be "
    "repeated."
)  # fmt: skip
@artifact_lm_option
@slots_option
@click.option("--any-model", is_flag=True, help="Count a model other than the artifact's as ready.")
@no_store_option
@allow_option
@trusted_option
@click.option("--deadline", type=float, default=120.0, show_default=True, help="Seconds of a request.")
@click.option("--in-flight", type=click.IntRange(min=1), default=64, show_default=True, help="Requests at once.")
@click.option("--max-body", type=click.IntRange(min=1), default=2**20, show_default=True, help="Bytes of a body.")
@click.option(
    "--max-text", type=click.IntRange(min=1), default=100_000, show_default=True, help="Characters of a text."
)
@click.option("--max-batch", type=click.IntRange(min=1), default=64, show_default=True, help="Inputs of a batch.")
@click.option("--drain", type=float, default=30.0, show_default=True, help="Seconds that running requests get to end.")
@click.option(
    "--feedback", type=click.Path(path_type=Path), metavar="FOLDER", help="Keep there what clients say was wrong, as "
    "PROGRAM.jsonl for `compile --bad-cases`."
)  # fmt: skip
@click.option("--canary", multiple=True, metavar="[NAME=]ARTIFACT", help="A second artifact that answers a share.")
@click.option("--share", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of each canary.")
@click.option(
    "--shadow", multiple=True, metavar="[NAME=]ARTIFACT", help="A second artifact that is run after each answer; the "
    "log says whether it says the same."
)  # fmt: skip
@click.option("--no-page", is_flag=True, help="Serve no web page; it shows prompts.")
@click.option(
    "--ask", multiple=True, metavar="FIELD=VALUE", help="Ask the first program this over HTTP, show the answer, and "
    "stop; once for each field."
)  # fmt: skip
@click.option("--otel", is_flag=True, help="Send OpenTelemetry spans, where the OTEL_ variables say.")
@click.option("--log-prompts", is_flag=True, help="Show inputs and outputs in the log.")
@json_option
def command(**given: Any) -> int:
    """Serve the program in ARTIFACT over HTTP, and others under a name each.

    POST /predict takes the inputs as JSON; /openapi.json describes everything. The log on stderr is one JSON object
    per line. SIGTERM or Ctrl-C ends it after the requests under way; SIGHUP loads the artifacts again.

    \b
    tunesmith serve runs/demo/artifact            # and open http://127.0.0.1:8000 in a browser
    tunesmith serve runs/demo/artifact --port 0 --ask comment="The bed was hard."
    tunesmith serve triage=runs/triage/artifact topics=runs/demo/artifact --port 8080
    curl localhost:8000/predict -H 'Content-Type: application/json' -d '{"comment": "The bed was hard."}'
    """  # noqa: D301 - click's mark for text that keeps its lines
    from tunesmith.cli.serve import run

    return run(**given)
