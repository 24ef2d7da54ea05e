import asyncio
import copy
import hashlib
import importlib
import json
import os
import subprocess
import sys
import time
import warnings
from typing import Annotated, Literal

import dspy
import pytest
from pydantic import AfterValidator, Field

import tunesmith as ts
from tests.artifacts.programs import (
    DEMO,
    IDENTITY,
    PLACE_DEMO,
    NeedsArgument,
    TwoSteps,
    forge,
    improved,
    one_step,
    saved,
)
from tests.each import each
from tunesmith.artifacts import Artifact, load, save
from tunesmith.errors import ArtifactError, ParseError, UsageError
from tunesmith.lm import FunctionLM, Identity, ScriptedLM
from tunesmith.modules import BM25, RAG, Candidate, ChainOfThought, Corpus, Predict, bind, program_structure, render

TWO_STEPS = "tests.artifacts.programs:TwoSteps"


@pytest.fixture
def two_steps(tmp_path):
    """An artifact of a program with a class and types of its own."""
    program = TwoSteps()
    return saved(tmp_path / "two", program, improved(program, PLACE_DEMO, path="locate"))


def test_one_step_is_rebuilt_from_the_manifest_alone(tmp_path):
    program = one_step()
    candidate = improved(program, DEMO)
    loaded = load(saved(tmp_path / "a", program, candidate).path)
    assert Candidate.of(loaded) == candidate
    assert program_structure(loaded)["class"] == program_structure(program)["class"]
    lm = ScriptedLM('{"reasoning": "r", "answer": "Quito"}')
    with dspy.context(lm=lm):
        assert loaded(question="Capital of Ecuador?", kind="b c").answer == "Quito"


@each("make", [Predict, ChainOfThought, dspy.Predict, dspy.ChainOfThought])
@each(
    "text",
    [
        "question -> answer",
        "question: str, n: int, xs: list[float] -> answer: dict[str, int], sure: bool",
        "question -> label: Literal['it\\'s', 'two', 3], why: Optional[str]",
    ],
)
def test_plain_classes_come_back_with_fields_options_and_prompt(tmp_path, make, text):
    program = make(dspy.Signature(text, "Do it.\n\nWell."), temperature=0.3, max_tokens=99)
    candidate = Candidate.of(program)
    loaded = load(saved(tmp_path / "a", program, candidate).path)
    assert Candidate.of(loaded) == candidate
    (path, before), (_, after) = program.named_predictors()[0], loaded.named_predictors()[0]
    assert program_structure(loaded)["predictors"][path] | {"signature": None} == (
        program_structure(program)["predictors"][path] | {"signature": None}
    )
    assert after.config == before.config == {"temperature": 0.3, "max_tokens": 99}
    assert list(after.signature.fields) == list(before.signature.fields)


def test_descriptions_come_back(tmp_path):
    class Described(dspy.Signature):
        """Say it."""

        question: str = dspy.InputField(desc="what is asked")
        answer: Literal["yes", "no"] = dspy.OutputField(desc="a word")

    loaded = load(saved(tmp_path / "a", program := Predict(Described), Candidate.of(program)).path)
    described = [info.json_schema_extra["desc"] for info in loaded.signature.fields.values()]
    assert described == ["what is asked", "a word"]


def _validated(value: int) -> int:
    return value


def _own_types():
    class BoundedByItsType(dspy.Signature):
        question: str = dspy.InputField()
        answer: Annotated[int, Field(ge=1)] = dspy.OutputField()  # DSPy's format does not show it

    class Validated(dspy.Signature):
        question: str = dspy.InputField()
        answer: Annotated[int, AfterValidator(_validated)] = dspy.OutputField()

    class Defaulted(dspy.Signature):
        question: str = dspy.InputField(default="why?")
        answer: str = dspy.OutputField()

    Impostor = type("str", (dspy.Signature,), {})

    class Disguised(dspy.Signature):
        question: Impostor = dspy.InputField()
        answer: str = dspy.OutputField()

    return [BoundedByItsType, Validated, Defaulted, Disguised]


@each("signature", _own_types(), ids=lambda signature: signature.__name__)
def test_what_the_manifest_cannot_rebuild_is_asked_for(tmp_path, signature):
    program = Predict(signature)
    artifact = saved(tmp_path / "a", program, Candidate.of(program))
    assert artifact.manifest["program"]["rebuildable"] is False
    with pytest.raises(ArtifactError, match="program="):
        load(artifact.path)
    assert Candidate.of(load(artifact.path, program=program)) == Candidate.of(program)


@each("form", ["json", "chat"])
def test_bounds_of_fields_are_rebuilt(tmp_path, form):
    class Bounded(dspy.Signature):
        question: str = dspy.InputField(max_length=500)
        stars: int = dspy.OutputField(ge=1, le=5, desc="how many")
        tags: list[str] = dspy.OutputField(max_length=3)

    program = Predict(Bounded)
    bind(program, form)
    artifact = saved(tmp_path / "a", program, Candidate.of(program))
    loaded = load(artifact.path)
    shown = [render(one, question="?") for one in (program, loaded)]
    assert (shown[0].messages, shown[0].constraint) == (shown[1].messages, shown[1].constraint)
    with dspy.context(lm=ScriptedLM('{"stars": 6, "tags": []}')), pytest.raises(ParseError):
        load(artifact.path, program=loaded if form == "json" else Predict(Bounded))(question="?")


def test_options_that_an_artifact_may_not_carry_come_from_the_program_only(tmp_path):
    program = Predict("question -> answer", api_base="http://mine")
    artifact = saved(tmp_path / "a", program, Candidate.of(program))
    assert artifact.manifest["program"]["predictors"]["self"]["config"] is None
    assert "http://mine" not in (artifact.path / "manifest.json").read_text()
    with pytest.raises(ArtifactError, match="program="):
        load(artifact.path)
    assert load(artifact.path, program=program).config == {"api_base": "http://mine"}


def test_a_class_of_the_users_is_not_imported_unasked(two_steps):
    with pytest.raises(ArtifactError) as caught:
        load(two_steps.path)
    message = str(caught.value)
    assert f"'{TWO_STEPS}'" in message
    assert "program=TwoSteps(...)" in message
    assert f"allow=('{TWO_STEPS}',)" in message
    assert f"--allow {TWO_STEPS}" in message


@pytest.mark.parametrize("options", [{"allow": (TWO_STEPS,)}, {"program": TwoSteps}, {"program": lambda: TwoSteps()}])
def test_a_named_or_allowed_class_is_made_and_given_the_candidate(two_steps, options):
    loaded = load(two_steps.path, **options)
    assert type(loaded) is TwoSteps
    assert Candidate.of(loaded).to_json() == two_steps.candidate_json
    assert loaded.locate.demos[0].place == PLACE_DEMO["place"], "typed again, not JSON"


def test_a_program_that_is_passed_is_copied(two_steps):
    program = TwoSteps()
    loaded = load(two_steps.path, program=program)
    assert loaded is not program
    assert program.locate.demos == []
    assert program.locate.signature.instructions == "Find the place."
    assert not hasattr(program, "artifact")
    assert loaded.locate.signature.instructions == "Answer in one word."


def test_allowing_another_class_does_not_help(two_steps):
    with pytest.raises(ArtifactError, match="not imported without permission"):
        load(two_steps.path, allow=("tests.artifacts.programs:NeedsArgument",))


@pytest.mark.parametrize("allow", [TWO_STEPS, ("tests.artifacts.programs",), (3,), 7, ("../x:Y",), (None,)])
def test_allow_takes_class_names(two_steps, allow):
    with pytest.raises(UsageError, match="module:name"):
        load(two_steps.path, allow=allow)


def test_an_allowed_class_that_needs_arguments_says_what_to_do(tmp_path):
    program = NeedsArgument(3)
    folder = saved(tmp_path / "a", program, Candidate.of(program)).path
    with pytest.raises(ArtifactError, match="program="):
        load(folder, allow=("tests.artifacts.programs:NeedsArgument",))
    with pytest.raises(ArtifactError, match="program="):
        load(folder, program=NeedsArgument)
    assert type(load(folder, program=NeedsArgument(4))) is NeedsArgument


def test_code_that_ends_the_process_is_no_program(two_steps, tmp_path, monkeypatch):
    (tmp_path / "leaves_at_import.py").write_text("raise SystemExit(0)", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArtifactError, match=r"SystemExit\(0\)"):
        load(two_steps.path, program=lambda: sys.exit(0))
    forge(two_steps.path, lambda manifest: manifest["program"].update({"class": "leaves_at_import:Thing"}))
    with pytest.raises(ArtifactError, match=r"SystemExit\(0\)"):
        load(two_steps.path, allow=("leaves_at_import:Thing",))


@pytest.mark.parametrize("program", [3, "x", TwoSteps.__module__, lambda: 3])
def test_what_makes_no_program_is_refused(two_steps, program):
    with pytest.raises(UsageError):
        load(two_steps.path, program=program)


@pytest.mark.parametrize(
    "name", ["os:system", "tests.artifacts.programs:NoProgram", "no_such_module:Thing", "os:nothing.here"]
)
def test_an_allowed_name_that_is_no_program_is_refused(two_steps, name):
    forge(two_steps.path, lambda manifest: manifest["program"].update({"class": name}))
    with pytest.raises(ArtifactError, match="allowed class"):
        load(two_steps.path, allow=(name,))


def test_no_module_is_imported_that_nobody_allowed(two_steps, tmp_path, monkeypatch):
    (tmp_path / "hostile_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)

    def change(manifest):
        manifest["program"]["class"] = "hostile_module:Program"
        for predictor in manifest["program"]["predictors"].values():
            predictor["class"] = "hostile_module:Predict"
            for field in predictor["signature"]["fields"]:
                field["type"] = "hostile_module.Type"

    forge(two_steps.path, change)
    for rebuildable in (False, True):
        forge(two_steps.path, lambda manifest, now=rebuildable: manifest["program"].update(rebuildable=now))
        for options in ({}, {"allow": (TWO_STEPS,)}):
            with pytest.raises(ArtifactError):
                load(two_steps.path, **options)
    assert load(two_steps.path, program=TwoSteps()), "the caller's own program is enough"
    assert "hostile_module" not in sys.modules


@each(
    "fields",
    [
        [("self", "input", "str"), ("answer", "output", "str")],
        [("question", "input", "str"), ("model_config", "output", "str")],
        [("question", "input", "__import__('os')"), ("answer", "output", "str")],
        [("signature", "input", "str"), ("fields", "output", "str")],
        [("question", "input", "str")],
    ],
)
@pytest.mark.filterwarnings("ignore:Field name")  # pydantic's, about names that it has itself
def test_a_forged_signature_is_refused(tmp_path, fields):
    program = Predict("question -> answer")
    artifact = saved(tmp_path / "a", program, Candidate.of(program))

    def change(manifest):
        manifest["program"]["predictors"]["self"]["signature"]["fields"] = [
            {"name": name, "role": role, "type": text, "desc": None} for name, role, text in fields
        ]

    forge(artifact.path, change)
    with pytest.raises(ArtifactError):
        load(artifact.path)


def test_a_program_of_another_structure_is_refused(two_steps):
    with pytest.raises(ArtifactError, match=r"predictors answer\.predict, locate; the program has predict"):
        load(two_steps.path, program=one_step())

    changed = TwoSteps()
    changed.answer = dspy.ChainOfThought("text, place -> answer: Literal['yes', 'no', 'maybe']")
    with pytest.raises(ArtifactError, match=r"has the fields .* at 'answer\.predict'.*'maybe'"):
        load(two_steps.path, program=changed)


def test_a_demo_that_does_not_fit_is_an_artifact_error(tmp_path):
    artifact = saved(tmp_path / "a")

    def change(manifest):
        manifest["candidate"]["parts"]["predict"]["demos"] = [
            {"inputs": {"kind": "neither"}, "outputs": {"answer": "x"}, "augmented": False}
        ]

    forge(artifact.path, change)
    state = artifact.path / "state.json"
    held = json.loads(state.read_text())
    held["predict"]["demos"] = [{"kind": "neither", "answer": "x"}]
    state.write_text(json.dumps(held))
    digest = hashlib.sha256(state.read_bytes()).hexdigest()
    forge(artifact.path, lambda manifest: manifest.update(state_sha256=digest))
    with pytest.raises(ArtifactError, match="does not fit the program"):
        load(artifact.path)


def test_an_unknown_format_is_an_artifact_error(tmp_path):
    artifact = saved(tmp_path / "a")
    forge(
        artifact.path,
        lambda manifest: manifest["candidate"]["parts"]["predict"].update(format="telepathy"),
    )
    with pytest.raises(ArtifactError, match="telepathy"):
        load(artifact.path)


def test_without_an_lm_dspy_takes_the_configured_one(tmp_path):
    loaded = load(saved(tmp_path / "a").path)
    assert loaded.predict.lm is None


def test_an_lm_is_bound_to_every_predictor(two_steps):
    lm = FunctionLM(lambda seen: "x")
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        loaded = load(two_steps.path, program=TwoSteps, lm=lm)
    assert [predictor.lm for _, predictor in loaded.named_predictors()] == [lm, lm]


def test_the_model_it_was_compiled_for_gives_no_warning(tmp_path):
    lm = ScriptedLM("x")
    artifact = saved(tmp_path / "a", lm_identity=lm.identity.to_json())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(artifact.path, lm=lm)


def test_another_model_is_warned_about_by_both_names(tmp_path):
    lm = ScriptedLM("x", name="tiny")
    with pytest.warns(UserWarning, match="compiled for the model 'scripted'.*loaded with 'tiny'") as caught:
        load(saved(tmp_path / "a").path, lm=lm)
    assert caught[0].filename == __file__


def test_other_weights_of_one_name_are_warned_about(tmp_path):
    lm = ScriptedLM("x")
    other = Identity(backend=lm.identity.backend, model=lm.identity.model, digest="cd" * 32)
    artifact = saved(tmp_path / "a", lm_identity=other.to_json())
    with pytest.warns(UserWarning, match="cdcdcdcdcdcd"):
        load(artifact.path, lm=lm)


def test_a_plain_dspy_model_is_compared_by_name(tmp_path):
    identity = Identity(backend="dspy", model="openai/x", details=(("temperature", "0"),)).to_json()
    artifact = saved(tmp_path / "a", lm_identity=identity)
    plain = dspy.LM("openai/x", api_base="http://localhost:1", api_key="secret")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(artifact.path, lm=plain).predict.lm is plain
    with pytest.warns(UserWarning, match="'openai/y'"):
        load(artifact.path, lm=dspy.LM("openai/y"))


def test_what_is_no_lm_is_refused(tmp_path):
    with pytest.raises(UsageError, match="lm"):
        load(saved(tmp_path / "a").path, lm="ollama/llama3.2")


class OwnAdapter(dspy.ChatAdapter):
    pass


def test_a_callers_own_adapter_is_asked_for(tmp_path):
    name = f"{OwnAdapter.__module__}:OwnAdapter"
    with dspy.context(adapter=OwnAdapter()):
        program = dspy.Predict("question -> answer")
        artifact = saved(tmp_path / "a", program, Candidate.of(program), adapter=f"adapter:{name}")
        assert load(artifact.path).artifact.sha256 == artifact.sha256
    assert artifact.manifest["adapter"] == f"adapter:{name}"
    assert artifact.candidate_json["parts"]["self"]["format"] is None
    with pytest.raises(ArtifactError, match=r"OwnAdapter.*none is configured"):
        load(artifact.path)
    with dspy.context(adapter=dspy.JSONAdapter()), pytest.raises(ArtifactError, match="JSONAdapter"):
        load(artifact.path)


def test_the_adapter_may_be_given_without_its_prefix(tmp_path):
    artifact = saved(tmp_path / "a", adapter="pkg.mod:Own")
    assert artifact.manifest["adapter"] == "adapter:pkg.mod:Own"


def test_the_loaded_program_carries_its_artifact_and_stays_clean(tmp_path):
    artifact = saved(tmp_path / "a")
    loaded = load(artifact.path)
    assert isinstance(loaded.artifact, Artifact)
    assert loaded.artifact.sha256 == artifact.sha256
    assert copy.deepcopy(loaded).artifact is loaded.artifact
    assert loaded.deepcopy().artifact is loaded.artifact
    assert loaded.reset_copy().predict.demos == []
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (artifact.path / "state.json").read_bytes()
    assert [path for path, _ in loaded.named_predictors()] == ["predict"]
    assert saved(tmp_path / "b", loaded, Candidate.of(loaded), baseline=Candidate.of(one_step())).sha256 == (
        artifact.sha256
    )


def test_an_attribute_of_that_name_stays_the_programs_own(tmp_path):
    class Museum(dspy.Module):
        def __init__(self):
            super().__init__()
            self.artifact = dspy.Predict("question -> answer")

    program = Museum()
    loaded = load(saved(tmp_path / "a", program, Candidate.of(program)).path, program=program)
    assert isinstance(loaded.artifact, dspy.Predict)


def test_a_class_made_inside_a_function_can_be_saved_and_named(tmp_path):
    class Local(dspy.Module):
        def __init__(self):
            super().__init__()
            self.step = dspy.Predict("question -> answer")

    program = Local()
    artifact = saved(tmp_path / "a", program, Candidate.of(program))
    assert load(artifact.path, program=Local)
    with pytest.raises(ArtifactError, match="cannot be imported"):
        load(artifact.path, allow=(artifact.program_class,))


def test_a_loaded_program_answers_asynchronously(tmp_path):
    loaded = load(saved(tmp_path / "a").path)

    async def ask():
        with dspy.context(lm=ScriptedLM('{"reasoning": "r", "answer": "Quito"}')):
            return await loaded.acall(question="Capital of Ecuador?", kind="a")

    assert asyncio.run(ask()).answer == "Quito"


def test_loading_takes_milliseconds(tmp_path):
    program = one_step()
    demos = [{**DEMO, "question": f"Question {number}?"} for number in range(16)]
    folder = saved(tmp_path / "a", program, improved(program, *demos)).path
    taken = []
    for _ in range(5):
        start = time.process_time()
        load(folder)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.030


PLAIN_PROGRAM = '''
from datetime import date
from enum import Enum
from typing import Annotated, Literal
import dspy
from pydantic import BaseModel

class Grade(Enum):
    GOOD = "good"

class Place(BaseModel):
    city: str
    founded: date

class Locate(dspy.Signature):
    """Find the place."""
    text: str = dspy.InputField()
    since: date = dspy.InputField()
    place: Place = dspy.OutputField()
    grade: Grade = dspy.OutputField()

class Plain(dspy.Module):
    def __init__(self):
        super().__init__()
        self.steps = [dspy.Predict(Locate)]
        self.answer = dspy.ChainOfThought("text -> answer: Literal['yes', 'no']")

    def forward(self, text):
        place = self.steps[0](text=text, since=date(2000, 1, 1)).place
        return self.answer(text=f"{text} {place.city}")
'''

PLAIN_USE = """
import json, sys
sys.modules["tunesmith"] = None  # from here on, `import tunesmith` is an ImportError
import dspy
from dspy.utils import DummyLM
from plain_program import Plain

program = Plain()
program.load(sys.argv[1])
replies = [
    {"place": '{"city": "Quito", "founded": "1534-12-06"}', "grade": "good"},
    {"reasoning": "r", "answer": "yes"},
]
dspy.configure(lm=DummyLM(replies), adapter=dspy.ChatAdapter())
print(json.dumps({
    "answer": program(text="Quito is high.").answer,
    "sent": [entry["messages"] for entry in dspy.settings.lm.history],
    "loaded": [name for name in sys.modules if name.startswith("tunesmith.")],
}))
"""


@pytest.mark.whole
def test_plain_dspy_loads_the_state_without_tunesmith(tmp_path, monkeypatch):
    (tmp_path / "plain_program.py").write_text(PLAIN_PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    program = importlib.import_module("plain_program").Plain()
    located = {
        "text": "Lima is old.",
        "since": "1999-12-31",
        "place": {"city": "Lima", "founded": "1535-01-18"},
        "grade": "good",
    }
    candidate = improved(program, located, path="steps[0]").with_part(
        "answer.predict",
        instruction="Yes or no?",
        demos=improved(program, {"text": "Lima?", "reasoning": "Andes.", "answer": "no"}, path="answer.predict")
        .parts["answer.predict"]
        .demos,
    )
    artifact = save(
        tmp_path / "a",
        candidate.apply(program),
        candidate=candidate,
        baseline=Candidate.of(program),
        lm_identity=IDENTITY,
        metric=None,
        datasets={},
        scores={},
        verdict="untested",
        charged={},
        paid={},
    )
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_USE, artifact.path / "state.json"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "DSPY_CACHEDIR": str(tmp_path / "cache")},
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["answer"] == "yes"
    assert said["loaded"] == []
    first, second = (json.dumps(messages) for messages in said["sent"])
    assert "Answer in one word." in first
    assert "Lima is old." in first
    assert "1535-01-18" in first
    assert "1999-12-31" in first
    assert "Yes or no?" in second
    assert "Andes." in second
    assert "mismatch" not in done.stderr


def test_the_state_of_a_lone_predictor_is_flat_as_dspys_own(tmp_path):
    student = dspy.Predict("question -> answer")
    artifact = saved(tmp_path / "a", student, Candidate.of(student)).path

    plain = dspy.Predict("question -> answer")
    plain.load(artifact / "state.json")

    assert plain.signature.instructions == student.signature.instructions
    assert "self" not in json.loads((artifact / "state.json").read_text(encoding="utf-8"))


def test_a_saved_corpus_moves_with_the_artifact(tmp_path):
    corpus = Corpus.of({"a.md": "Oslo is in Norway."}).save(tmp_path / "one" / "data" / "corpus.jsonl")
    save(tmp_path / "one" / "artifact", RAG(BM25(corpus), k=1))
    (tmp_path / "one").rename(tmp_path / "two")

    loaded = load(tmp_path / "two" / "artifact", lm=ScriptedLM('{"answer": "Norway", "citations": [1]}'))
    assert loaded(question="Where is Oslo?").citations[0].source == "a.md"
    manifest = (tmp_path / "two" / "artifact" / "manifest.json").read_text()
    assert str(tmp_path) not in manifest
    assert '"../data/corpus.jsonl"' in manifest

    file = tmp_path / "two" / "data" / "corpus.jsonl"
    Corpus.of(["another"]).save(file)
    with pytest.raises(ArtifactError, match="has changed since"):
        load(tmp_path / "two" / "artifact")
    file.unlink()
    with pytest.raises(ArtifactError, match=f"is not at `{file}`"):
        load(tmp_path / "two" / "artifact")


@each("path", ["/etc/passwd", "../notes.txt", "corpus", "../data", 7])
def test_a_manifest_names_no_file_but_a_saved_corpus(tmp_path, path):
    (tmp_path / "notes.txt").write_text("secret")
    corpus = Corpus.of({"a.md": "Oslo is in Norway."}).save(tmp_path / "data" / "corpus.jsonl")
    artifact = save(tmp_path / "artifact", RAG(BM25(corpus), k=1))

    def change(manifest):
        text = json.dumps(manifest["program"]["spec"])
        manifest["program"]["spec"] = json.loads(text.replace(json.dumps("../data/corpus.jsonl"), json.dumps(path)))

    forge(artifact.path, change)
    with pytest.raises(ArtifactError) as caught:
        load(artifact.path)
    assert "secret" not in str(caught.value)


def test_a_load_without_a_function_that_each_call_needs_is_told_at_once(tmp_path):
    programs = {
        "reward": ts.BestOf(ts.Predict("question -> answer"), len),
        "b.goal": ts.Chain(a=ts.Predict("x -> question"), b=ts.TreeOfThoughts("question -> answer", goal=len)),
    }
    for name, program in programs.items():
        ts.save(tmp_path / name, program)
        with pytest.warns(UserWarning, match=f"does not hold the function `{name}`.*program=..."):
            ts.load(tmp_path / name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ts.load(tmp_path / name, program=program)
