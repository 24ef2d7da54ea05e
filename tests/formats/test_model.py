"""Every format on the embedded model, on twelve kinds of output."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import dspy
import pytest
from pydantic import TypeAdapter

from tests.scale import FULL, scaled
from tunesmith.errors import ParseError
from tunesmith.formats import carries, format_names
from tunesmith.lm import Meter, metered
from tunesmith.lm import lm as model
from tunesmith.modules import Predict, bind
from tunesmith.signatures import output_types

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# Nothing holds these without demos, and the embedded model is unfit for that, as docs/formats.md says.
UNFIT = {"chat", "bare-free", "bare-likeliest", "bare-nearest"}
PAIRS = max(3, scaled(8))
SHORT = 64  # tokens

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("formats_table")


def chosen(script: ModuleType, name: str) -> list[tuple[Any, str]]:
    """Return (signature, text) pairs; the few of a short run are others for each format, and together all kinds."""
    kinds = [kind for kind in script.KINDS if carries(name, kind)]
    start = format_names().index(name) * PAIRS
    return [(kinds[(start + i) % len(kinds)], script.TEXTS[(start + i) // len(kinds) % 5]) for i in range(PAIRS)]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("bare", "json") else pytest.mark.slow)
        for name in format_names()
        if name != "tools"  # no call of a tool is here
    ],
)
def test_a_reply_is_typed_outputs_or_a_parse_error_and_few_are_errors(script: ModuleType, name: str) -> None:
    meter, errors = Meter(), []
    pairs = chosen(script, name)
    for signature, text in pairs:
        predict = dspy.Predict(signature)
        bind(predict, name)
        stopped = signature is script.Essay and not FULL  # the model fills the 1,500 characters, token by token
        # What nothing holds to a shape is not worth the time of long replies.
        lm = model("embedded", max_tokens=SHORT if stopped or name in UNFIT else script.KIND_TOKENS)
        try:
            with dspy.context(lm=lm), metered(meter):
                found = predict(text=text)
        except ParseError as error:
            if stopped and error.reason == "truncated":
                continue
            errors.append((signature.__name__, error.reason))
            continue
        for field, annotation in output_types(signature).items():
            TypeAdapter(annotation).validate_python(found[field], strict=True)

    assert meter.charged.calls == len(set(pairs))
    if name not in UNFIT:
        assert len(errors) <= max(1, script.MOST_ERRORS * len(pairs)), errors


def test_a_choice_among_three_hundred_texts_is_held() -> None:
    names = tuple(f"label {at}" for at in range(300))
    predict = Predict(dspy.Signature({"text": (str, dspy.InputField()), "kind": (Literal[names], dspy.OutputField())}))

    with dspy.context(lm=model("embedded")):
        assert predict(text="The order never came.").kind in names
