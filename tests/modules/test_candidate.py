"""Candidates: values that say everything a compiler may change."""

import copy
import dataclasses
import threading
from typing import Any

import dspy
import pytest

from tests.contracts.module import answering, changed, run
from tests.each import each
from tests.modules.plain_programs import Frozen, Listed, Pipeline, Route
from tunesmith.errors import ArtifactError, DataError, FormatError, UsageError
from tunesmith.modules import Candidate, Part, Predict, bind, bound_format
from tunesmith.signatures import Demo


def demo(message: str = "my bill", queue: str = "billing") -> Demo:
    return Demo.of(Route, {"message": message, "queue": queue})


def base() -> Candidate:
    return Candidate({"steps[0]": Part("Route.", (demo(),), "bare")}, {"temperature": 0.5})


def test_of_reads_instruction_demos_and_format() -> None:
    program = Listed()
    program.steps[0].demos = [
        dspy.Example(message="a", queue="cards", augmented=True),
        {"message": "b", "queue": "other"},
    ]
    bind(program.steps[0], "json")

    part = Candidate.of(program).parts["steps[0]"]

    assert part.instruction == "Route the message to a queue."
    assert [(dict(d.inputs), dict(d.outputs), d.augmented) for d in part.demos] == [
        ({"message": "a"}, {"queue": "cards"}, True),
        ({"message": "b"}, {"queue": "other"}, False),
    ]
    assert part.format == "json"


def test_of_counts_an_unbound_predictor_as_having_the_default_format() -> None:
    assert [part.format for part in Candidate.of(Pipeline()).parts.values()] == ["json", "json"]
    assert [part.format for part in Candidate.of(Listed()).parts.values()] == ["bare"]
    with dspy.context(adapter=dspy.JSONAdapter()):
        assert [part.format for part in Candidate.of(Listed()).parts.values()] == [None]


def test_of_leaves_out_demos_that_are_never_shown() -> None:
    """DSPy's `LabeledFewShot` gives every predictor of a pipeline whole training rows."""
    program = Pipeline()
    rows = [dspy.Example(message="a", queue="cards", note="x").with_inputs("message")]
    compiled = dspy.LabeledFewShot(k=1).compile(program, trainset=rows)

    parts = Candidate.of(compiled).parts

    assert [len(part.demos) for part in parts.values()] == [1, 0]


def test_of_says_what_is_wrong_with_a_demo() -> None:
    program = Listed()
    program.steps[0].demos = [dspy.Example(message="a", queue="nowhere")]
    with pytest.raises(DataError, match="nowhere"):
        Candidate.of(program)


def test_a_program_without_predictors_is_an_error() -> None:
    class Empty(dspy.Module):
        def forward(self) -> None: ...

    with pytest.raises(UsageError, match="Empty has no predictors"):
        Candidate.of(Empty())


def test_a_compiled_part_is_left_alone() -> None:
    program = Frozen()
    candidate = changed(Candidate.of(program), program)
    applied = candidate.apply(program)

    assert list(candidate.parts) == ["after"]
    assert applied.before.steps[0].demos == program.before.steps[0].demos
    assert applied.before.steps[0] is not program.before.steps[0]
    assert bound_format(applied.before.steps[0]) is None


def test_a_part_that_was_compiled_here_keeps_its_format() -> None:
    program = Frozen()
    inner = changed(Candidate.of(Listed()), Listed()).apply(Listed())
    inner._compiled = True
    program.before = inner
    lm = answering()

    run(Candidate.of(program).apply(program), lm, {"message": "my bill"})

    assert lm.requests[0].system.startswith("Another instruction for steps[0].")
    assert "JSON" in lm.requests[0].system


def test_candidates_of_the_same_content_are_equal_and_have_one_key() -> None:
    first, second = base(), base()

    assert first is not second
    assert first == second
    assert first.key == second.key
    assert hash(first) == hash(second)
    assert len({first, second}) == 1
    assert copy.deepcopy(first) is first


@each(
    "other",
    [
        base().with_part("steps[0]", instruction="Route!"),
        base().with_part("steps[0]", demos=()),
        base().with_part("steps[0]", demos=(demo(), demo())),
        base().with_part("steps[0]", demos=(demo("your bill"),)),
        base().with_part("steps[0]", demos=(demo(queue="cards"),)),
        base().with_part("steps[0]", format="json"),
        base().with_part("steps[0]", format=None),
        dataclasses.replace(base(), sampling={}),
        dataclasses.replace(base(), sampling={"temperature": 0.6}),
        Candidate({"steps[1]": base().parts["steps[0]"]}, {"temperature": 0.5}),
    ],
)
def test_any_change_gives_another_key_and_shows_in_the_diff(other: Candidate) -> None:
    assert other != base()
    assert other.key != base().key
    assert base().diff(other) != ""
    assert base().diff(base()) == ""


def test_a_demo_a_person_wrote_is_not_one_a_program_made() -> None:
    made = Demo.of(Route, {"message": "my bill", "queue": "billing", "augmented": True})

    assert base().with_part("steps[0]", demos=(made,)).key != base().key


def test_the_order_of_demos_counts_and_the_order_of_parts_does_not() -> None:
    one, two = demo("a"), demo("b")
    assert base().with_part("steps[0]", demos=(one, two)) != base().with_part("steps[0]", demos=(two, one))

    parts = {"a": Part("A"), "b": Part("B")}
    backwards = dict(reversed(parts.items()))
    assert Candidate(parts).key == Candidate(backwards).key
    assert Candidate(parts) == Candidate(backwards)


def test_a_candidate_does_not_change_with_what_it_was_made_from() -> None:
    parts, sampling = {"a": Part("A")}, {"temperature": 1}
    candidate = Candidate(parts, sampling)
    key = candidate.key
    parts["b"], sampling["temperature"] = Part("B"), 2

    assert candidate.key == key
    with pytest.raises(TypeError):
        candidate.parts["b"] = Part("B")  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        candidate.sampling = {}  # type: ignore[misc]


def test_a_change_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no predictor 'steps'"):
        base().with_part("steps", instruction="Route!")
    with pytest.raises(UsageError, match=r"no `prompt`\. It has: instruction, demos, format, offsets"):
        base().with_part("steps[0]", prompt="Route!")


def test_an_unknown_path_is_an_error_that_lists_the_paths() -> None:
    with pytest.raises(UsageError, match=r"steps\[0\]"):
        base().with_part("steps[1]", format="json")
    with pytest.raises(UsageError, match="made for"):
        base().apply(Pipeline())


@pytest.mark.parametrize(("name", "error"), [("yaml", UsageError), ("bare", FormatError)])
def test_a_format_that_does_not_fit_is_refused_before_anything_runs(name: str, error: type[Exception]) -> None:
    program = Pipeline()
    with pytest.raises(error):
        Candidate.of(program).with_part("route.predict", format=name).apply(program)


def test_sampling_reaches_every_predictor_and_keeps_what_they_had() -> None:
    program = Pipeline()
    applied = dataclasses.replace(Candidate.of(program), sampling={"temperature": 0.9, "max_tokens": 7}).apply(program)
    lm = answering()
    run(applied, lm, {"message": "my bill"})

    assert [(r.config.temperature, r.config.max_tokens) for r in lm.requests] == [(0.9, 7), (0.9, 7)]
    assert program.parts["draft"].write.predict.config == {"temperature": 0.5}


def test_a_part_without_a_format_leaves_the_callers_adapter_in_charge() -> None:
    program = Listed()
    bind(program.steps[0], "json")
    applied = Candidate.of(program).with_part("steps[0]", format=None).apply(program)
    lm = answering()
    run(applied, lm, {"message": "my bill"})

    assert "[[ ## queue ## ]]" in lm.requests[0].system
    assert bound_format(program.steps[0]) == "json"


def test_a_predictor_keeps_its_own_lm_and_the_lm_its_history() -> None:
    program, own, outer = Pipeline(), answering(), answering()
    program.route.predict.lm = own
    run(Candidate.of(program).apply(program), outer, {"message": "my bill"})
    history = list(own.history)

    applied = changed(Candidate.of(program), program).apply(program)
    run(applied, outer, {"message": "my bill"})

    assert applied.route.predict.lm is own
    assert applied.parts["draft"].write.predict.lm is None
    assert (len(own.requests), len(outer.requests)) == (2, 2)
    assert own.history[:1] == history
    assert "Another instruction" in own.requests[1].system


def test_lms_anywhere_in_a_program_are_shared_with_its_copies() -> None:
    class Holder(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.judge = answering()
            self.more = [answering(), {"a": answering()}]
            self.frozen = Listed()
            self.frozen._compiled = True
            self.frozen.steps[0].lm = answering()
            self.predict = dspy.Predict(Route)

    program = Holder()
    applied = Candidate.of(program).apply(program)

    assert applied.judge is program.judge
    assert applied.more is not program.more
    assert applied.more[0] is program.more[0]
    assert applied.more[1]["a"] is program.more[1]["a"]
    assert applied.frozen.steps[0].lm is program.frozen.steps[0].lm


def test_what_refuses_to_be_copied_is_shared_and_the_student_is_untouched(caplog: pytest.LogCaptureFixture) -> None:
    class Locked(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()
            self.memory = {"lock": threading.Lock(), "items": [1]}
            self.predict = dspy.Predict(Route)

    class Outer(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [Locked(), Locked()]

    program = Outer()
    applied = changed(Candidate.of(program), program).apply(program)

    assert applied.parts[0].lock is program.parts[0].lock
    assert applied.parts[0].memory["lock"] is program.parts[0].memory["lock"]
    assert applied.parts[0].memory["items"] is not program.parts[0].memory["items"]
    assert applied.parts[1].predict is not program.parts[1].predict
    assert program.parts[0].predict.demos == []
    assert bound_format(program.parts[0].predict) is None
    assert caplog.records == []


def test_a_predictor_used_twice_stays_one() -> None:
    class Twice(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = dspy.Predict(Route)
            self.second = self.first

    program = Twice()
    applied = changed(Candidate.of(program), program).apply(program)

    assert applied.first is applied.second
    assert applied.first is not program.first


def test_a_predictor_as_a_program_has_the_path_self() -> None:
    for program in (dspy.Predict(Route), Predict(Route)):
        assert list(Candidate.of(program).parts) == ["self"]
        applied = changed(Candidate.of(program), program).apply(program)
        assert type(applied) is type(program)
        assert applied.signature.instructions.startswith("Another instruction for self.")


@each(
    "data",
    [
        {},
        {"parts": {}},
        {"parts": [], "sampling": {}},
        {"parts": {"steps[0]": {}}, "sampling": {}},
        {"parts": {"steps[0]": None}, "sampling": {}},
        {"parts": {"elsewhere": Part("x", (demo(),)).to_json()}, "sampling": {}},
        {"parts": {"steps[0]": {"instruction": "x", "demos": 5, "format": None, "settings": {}}}, "sampling": {}},
        None,
        "text",
    ],
)
def test_other_data_is_no_candidate(data: Any) -> None:
    with pytest.raises(ArtifactError, match="not a candidate"):
        Candidate.from_json(data, {"steps[0]": Route})


def test_a_demo_of_other_data_is_refused() -> None:
    data = base().to_json()
    data["parts"]["steps[0]"]["demos"][0]["outputs"]["queue"] = "nowhere"
    with pytest.raises(DataError):
        Candidate.from_json(data, {"steps[0]": Route})


def test_the_diff_is_readable() -> None:
    other = base().with_part("steps[0]", instruction="Route.\nBe quick.", demos=(), format="json")

    assert base().diff(other).splitlines() == [
        " [steps[0]]",
        "-format: bare",
        "+format: json",
        " instruction: Route.",
        " instruction: {+Be quick.+}",
        "-demo input message: my bill",
        "-demo output queue: billing",
    ]


def test_offsets_are_part_of_what_a_candidate_says() -> None:
    given = Candidate({"self": Part("Route.", (), "scored")})
    calibrated = given.with_part("self", offsets={"billing": -0.5, "cards": 0.5})

    assert calibrated != given
    assert calibrated.key != given.key
    assert hash(calibrated.parts["self"]) == hash(given.parts["self"])
    assert "+offset billing: -0.5" in given.diff(calibrated)
    assert calibrated.differences(given) == "calibrated"
    assert given.differences(calibrated) == "not calibrated"
    assert Candidate.from_json(calibrated.to_json(), {"self": Route}) == calibrated
    assert Candidate.of(calibrated.apply(Predict(Route))).parts["self"].offsets == {"billing": -0.5, "cards": 0.5}
