"""DSPy's own optimizers behind our interface."""

import re
from typing import Any

import dspy
import pytest

import tunesmith as ts
from tests.compilers.worlds import TRAIN, VAL, Colour, right, world
from tests.each import each
from tunesmith.compilers import DSPyCompiler
from tunesmith.errors import UsageError
from tunesmith.lm import FunctionLM, Seen

SMALL = {
    "LabeledFewShot": {"k": 3},
    "BootstrapFewShot": {},
    "BootstrapFewShotWithRandomSearch": {"num_candidate_programs": 2},
    "MIPROv2": {"auto": None, "num_candidates": 2},
    "GEPA": {"max_metric_calls": 60},
    "SIMBA": {"bsize": 8, "num_candidates": 2, "max_steps": 2},
    "COPRO": {"breadth": 2, "depth": 1},
}
COMPILED = {"MIPROv2": {"num_trials": 2, "minibatch": False}}


def model_of() -> Any:
    """Return a model that answers DSPy's requests for proposals too: with its markers, or with an instruction alone."""
    answer = world()

    def reply(seen: Seen) -> str:
        if seen.text.startswith("Thing: "):
            return answer(seen)
        asked = re.findall(r"\[\[ ## (\w+) ## \]\]", seen.text.rpartition("Respond with")[2])
        wording = f"Wording {len(seen.text) + (seen.request.config.seed or 0)}."
        return "\n\n".join(f"[[ ## {name} ## ]]\n{wording}" for name in asked) or f"```{wording}```"

    return FunctionLM(reply)


def compiled(name: str, model: Any, **options: Any) -> Any:
    given = {"metric": right, "arguments": SMALL[name], "compile_arguments": COMPILED.get(name, {}), **options}
    with dspy.context(lm=model):
        return DSPyCompiler(name, **given).compile(dspy.Predict(Colour), trainset=TRAIN, valset=VAL)


@each("name", list(SMALL))
def test_each_optimizer_runs_and_is_judged_as_any_other_compiler(name: str) -> None:
    model = model_of()
    report = compiled(name, model).compile_report
    assert report.charged.calls == len(set(map(str, model.requests)))
    assert report.baseline.n == report.compiled.n == len(VAL)
    assert (report.gain.mean or 0) >= 0
    assert not any("failed" in note or "stopped" in note for note in report.notes), report.notes


def test_the_default_optimizer_needs_no_default_model_of_dspy() -> None:
    compiler = DSPyCompiler(arguments=SMALL["MIPROv2"], compile_arguments=COMPILED["MIPROv2"])
    given = {"metric": right, "trainset": TRAIN, "valset": VAL[:8], "compiler": compiler, "mirror": False}
    with dspy.context(lm=None):
        assert DSPyCompiler().check(dspy.Predict(Colour), ts.Dataset(TRAIN, ("thing",))) is None
        result = ts.compile(dspy.Predict(Colour), lm=model_of(), **given)
    assert any("MIPROv2 made " in note for note in result.notes), result.notes


@each("slots", [1, 4])
def test_it_is_stopped_at_its_limit_and_at_the_budget(slots: int) -> None:
    model = model_of()
    report = compiled("BootstrapFewShotWithRandomSearch", model, max_calls=40, slots=slots).compile_report
    assert any("was stopped after 40 calls" in note for note in report.notes), report.notes
    report = compiled("BootstrapFewShotWithRandomSearch", model, budget=100, slots=slots).compile_report
    assert report.charged.calls <= 100
    assert not report.improved


@each(
    ("given", "message"),
    [
        (("MIPRO",), "DSPy has no optimizer 'MIPRO'. Use one of: "),
        (("Teleprompter",), "DSPy has no optimizer"),
        (("bootstrap_trace_data",), "DSPy has no optimizer"),
        (("MIPROv2", {"trials": 3}), "DSPy's MIPROv2 does not take `trials`. It takes: metric, "),
        (("MIPROv2", {}, {"trials": 3}), "does not take `trials`. It takes: student, "),
    ],
)
def test_what_dspy_does_not_have_is_refused_with_what_it_has(given: Any, message: str) -> None:
    names = ("optimizer", "arguments", "compile_arguments")
    with pytest.raises(UsageError, match=re.escape(message)):
        DSPyCompiler(metric=right, **dict(zip(names, given, strict=False)))


def test_what_its_constructor_refuses_is_said_before_any_call() -> None:
    model = model_of()
    with pytest.raises(UsageError, match="DSPy's GEPA refuses its arguments"):
        compiled("GEPA", model, arguments={"auto": "light", "max_metric_calls": 9})
    assert model.requests == []


def test_an_error_of_dspy_ends_its_search_and_never_the_compile() -> None:
    report = compiled("MIPROv2", model_of(), arguments={"auto": "light"}, compile_arguments={"num_trials": 3})
    assert any("MIPROv2 failed after 0 calls" in note for note in report.compile_report.notes)
    assert not report.compile_report.improved


def test_nothing_of_dspys_output_goes_to_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    compiled("BootstrapFewShotWithRandomSearch", model_of())
    assert capsys.readouterr().out == ""


class Styled(dspy.Module):
    """A program with a setting."""

    style: str = ts.Setting("plain", choices=("plain", "brief"))

    def __init__(self) -> None:
        super().__init__()
        self.step = dspy.Predict(Colour)

    def forward(self, thing: str) -> dspy.Prediction:
        return self.step(thing=thing)


def test_a_program_with_settings_is_not_mixed_up_with_those_that_miprov2_hangs_on_it() -> None:
    given = {"arguments": SMALL["MIPROv2"], "compile_arguments": COMPILED["MIPROv2"]}
    with dspy.context(lm=model_of()):
        program = DSPyCompiler("MIPROv2", metric=right, **given).compile(Styled(), trainset=TRAIN, valset=VAL)
    report = program.compile_report
    assert len(report.trials) == 2, report.notes
    assert {path: dict(values) for path, values in report.candidate.settings.items()} == {"self": {"style": "plain"}}
