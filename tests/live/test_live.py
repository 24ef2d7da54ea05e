"""The tests, the verbs and the examples on a real server: `make test-live`.

The server is named by OLLAMA_HOST, a model on it by TUNESMITH_LIVE_MODEL; without both these tests are skipped.
`tests/test_live.py` runs them against the protocol server with the embedded model behind it.
"""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import dspy
import pytest

import tunesmith as ts
from tests.cli.verbs import differences, every_verb
from tests.contracts.engine import EngineContract
from tests.contracts.format import predictor
from tests.strategies import CASES
from tests.test_examples import by_name as every_example
from tests.test_examples import run_example
from tunesmith.cli.application import VERBS
from tunesmith.errors import ModelMissing, ParseError
from tunesmith.formats import LABEL_LOGPROBS, carries, format_names
from tunesmith.lm import LM, Engine, Meter, lm, metered
from tunesmith.modules import FieldDelta, Finished, stream

MODEL = os.environ.get("TUNESMITH_LIVE_MODEL", "")
SPEC = f"ollama/{MODEL}"

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def live_engine() -> Iterator[Engine]:
    found = lm(SPEC, num_ctx=2048, cache=False)._stack.engine
    yield found
    found.close()


class TestOllamaLive(EngineContract):
    overflow = "word " * 20_000

    @pytest.fixture
    def engine(self, live_engine: Engine) -> Engine:
        return live_engine

    def test_its_identity_is_that_of_the_weights(self, engine: Engine) -> None:
        assert engine.identity.backend.startswith("ollama ")
        assert len(engine.identity.digest or "") >= 64


@pytest.fixture(scope="module")
def model() -> LM:
    return lm(SPEC, num_ctx=2048, cache=False, max_tokens=64)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", format_names())
def test_a_prediction_is_one_call_and_typed_or_a_parse_error(name: str, case: object, model: LM) -> None:
    if not carries(name, case.signature):  # type: ignore[attr-defined]
        pytest.skip("the format does not carry it")
    meter, program = Meter(), predictor(case, name)  # type: ignore[arg-type]
    with dspy.context(lm=model), metered(meter), contextlib.suppress(ParseError):
        program(text="Ann Miller, 34, loved the garden and paid 84.50 euros on 3 May 2024.")
    # A model that writes thoughts first is asked once more, without our stop at the line end, and never again.
    assert meter.paid.calls <= (2 if name.startswith("bare-") else 1)


@pytest.mark.parametrize("name", [name for name in format_names() if name != "tools"])
def test_deltas_join_to_the_field(name: str, model: LM) -> None:
    case = next(case for case in CASES if case.name == "Sentiment")
    found: dict[str, str] = defaultdict(str)
    try:
        program = predictor(case, name, {"text": "What a mess.", "mood": "negative"})
        for event in stream(program, lm=model, text="A lovely day."):
            if isinstance(event, FieldDelta):
                found[event.field] = event.text if event.restart else found[event.field] + event.text
            else:
                assert isinstance(event, Finished)
                told = {name: value for name, value in event.prediction.items() if name != LABEL_LOGPROBS}
                assert dict(found) == told
    except ParseError:
        assert name != "json", "what a schema holds can be read"


def test_every_verb_prints_what_it_prints_on_the_embedded_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_LM", SPEC)  # so that it is put back
    printed = {}
    for spec in ("embedded", SPEC):
        folder = tmp_path / spec.partition("/")[0]
        folder.mkdir()
        monkeypatch.chdir(folder)
        try:
            printed[spec] = every_verb(spec, full=True)
        except ModelMissing:
            pytest.skip("the embedded weights are not there: run `tunesmith models pull embedded`")
    assert {verb.split()[0] for verb in printed[SPEC]} == set(VERBS)
    for verb, found in printed[SPEC].items():
        assert differences(printed["embedded"][verb], found, verb, same_weights=False) == []


@every_example
def test_every_example_runs(example: Path, tmp_path: Path) -> None:
    found = run_example(example, tmp_path, SPEC)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip()


def test_a_judge_is_measured(model: LM) -> None:
    polite = ts.metrics.judge("It is polite.")
    example = dspy.Example(question="Where is it?").with_inputs("question")
    rows = [polite.labelled(example, "Here you are, dear guest.", verdict="good")]
    assert ts.evaluation.agreement(polite, rows, lm=model).errors in (0, 1)
