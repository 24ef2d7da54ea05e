"""The project file, and what it names."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

from tests.each import each
from tunesmith.cli.choosing import chosen_role
from tunesmith.compilers import BootstrapFewShot, LabeledFewShot, Portfolio, RandomSearch
from tunesmith.errors import RowError, SignatureError, UsageError
from tunesmith.experiments import Project, find_object, find_program, mistaken_variables
from tunesmith.experiments.layers import environment_layer
from tunesmith.experiments.named import find_metric
from tunesmith.experiments.settings import LmSettings
from tunesmith.modules import ChainOfThought, Predict, program_inputs
from tunesmith.signatures import labels

CODE = """
import dspy
import tunesmith as ts

class Route(ts.Signature):
    "Route it."
    message: str = ts.InputField()
    queue: str = ts.OutputField()

program = ts.Predict(Route)
other = ts.ChainOfThought(Route)

class Pipeline(dspy.Module):
    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("message -> topic")
        self.second = dspy.Predict("topic -> queue")

    def forward(self, message, *, tone="plain"):
        return self.second(topic=self.first(message=message).topic)

def made():
    return Pipeline()

def needs(argument):
    return Pipeline()

def metric(example, prediction, trace=None):
    return True

class Holder:
    inner = program
"""


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    before = list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield
    sys.path[:] = before


def write(folder: Path, toml: str, code: str = CODE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "code_of_it.py").write_text(code, encoding="utf-8")
    file = folder / "tunesmith.toml"
    file.write_text(toml, encoding="utf-8")
    return file


def problem(toml: str, tmp_path: Path) -> str:
    file = write(tmp_path / "wrong", toml)
    with pytest.raises(UsageError) as caught:
        Project.load(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


def problem_here(toml: str, folder: Path) -> str:
    write(folder, toml)
    with contextlib.chdir(folder), pytest.raises(UsageError) as caught:
        Project.load()
    return str(caught.value)


@each(
    ("toml", "words"),
    [
        ("\n\nprogramm = 'a:b'", "tunesmith.toml, line 3: there is no key `programm`. Did"),
        ("[compile]\n# a comment\nbuget_calls = 3", "tunesmith.toml, line 3: there is no key `compile.buget_calls`"),
        ("[data]\nfile = 'x'\nsplit = {train = 1,\n  sed = 2}", "tunesmith.toml, line 3: this is not TOML: "),
        ("[data.split]\ntrain = 1\nsed = 2", "tunesmith.toml, line 3: there is no key `data.split.sed`"),
        ("[data]\nfile = 'x'\nsplit = {seed = 3}", "tunesmith.toml, line 3: `data.split.train`: Field required"),
        ("[lm]\nspec = 'x'\nslots = '3'", "tunesmith.toml, line 3: `lm.slots`: Input should be a valid integer"),
        ("[lm]\nspec = 'x'\nhost = ['a',\n3]", "tunesmith.toml, line 4: `lm.host.1`: Input should be a valid string"),
        ("[compile]\nseed = 1\nnum_candidates = 0", "tunesmith.toml, line 3: [compile] `num_candidates` must be at"),
        ("[compile]\ncompiler = 'magic'", "tunesmith.toml, line 2: `compile.compiler`: There is no compiler 'magic'"),
        ("[data]\nfile = 'x'\ntest = 'y'\nsplit = {train = 1}", "tunesmith.toml, lines 2 and 3: `data`: `file` and"),
        ("[data]\nfile = 'x'", "tunesmith.toml, line 2: `data`: `file` and `split` belong together."),
        ("[lm]\nspec = 'a'\n[lm]\nspec = 'b'", "tunesmith.toml, line 3: this is not TOML: Cannot declare"),
        ("[compile]\nrun = 'a'\nseed = -1", "tunesmith.toml, line 3: `compile.seed`: Input should be greater than or"),
        ("[compile]\nbudget_seconds = inf", "tunesmith.toml, line 2: `compile.budget_seconds`: Input should be a fin"),
        ("[data]\nfile = 'x'\nsplit = [1, 2]", "tunesmith.toml, line 3: `data.split`: Input should be a table. Given"),
        ("[[experiments]]\nseeds = [1]", "tunesmith.toml, line 1: `experiments`: Input should be a table. Given"),
    ],
)
def test_a_mistake_is_told_with_its_line(toml: str, words: str, tmp_path: Path) -> None:
    assert words in problem_here(toml, tmp_path)


def test_what_the_file_names_and_is_not_there_is_told_with_its_line_too(tmp_path: Path) -> None:
    write(tmp_path, "metric = 'exact_match:queue'\nprogram = 'code_of_it:progam'\n[data]\ntrain = 'rows.jsonl'")
    project = Project.load()
    with pytest.raises(UsageError) as caught:
        project.program()
    assert caught.value.__notes__ == ["`program` stands in tunesmith.toml, line 2."]
    with pytest.raises(UsageError) as caught:
        project.data(Predict("message -> queue"))
    assert caught.value.__notes__ == ["`data.train` stands in tunesmith.toml, line 4."]
    write(tmp_path, "[lm]\nspec = 'tiny'\n[prompt_lm]\nspec = 'large'")
    with pytest.raises(UsageError) as caught:
        Project.load().model()
    assert caught.value.__notes__ == ["`lm.spec` stands in tunesmith.toml, line 2."]
    with pytest.raises(UsageError) as caught:
        Project.load().role("prompt_lm")
    assert caught.value.__notes__ == ["`prompt_lm.spec` stands in tunesmith.toml, line 4."]


# Programs and metrics without code ------------------------------------------------------------------------------


def test_a_program_of_one_step_needs_no_code(tmp_path: Path) -> None:
    write(tmp_path, 'program = \'message -> queue: Literal["a b", "c"], ok: bool\'')
    program = Project.load().program()
    assert isinstance(program, Predict)
    assert labels(program.signature, "queue") == ("a b", "c")
    write(
        tmp_path,
        '[program]\nsignature = """\n  message ->\n  queue: str\n"""\ninstructions = \'Sort it.\'\n'
        "module = 'ChainOfThought'\ndescriptions = { message = 'what a guest wrote' }",
    )
    project = Project.load()
    program = project.program()
    assert isinstance(program, ChainOfThought)
    assert project.program_name == "message -> queue: str"
    (predictor,) = program.predictors()
    assert predictor.signature.instructions == "Sort it."
    assert predictor.signature.fields["message"].json_schema_extra["desc"] == "what a guest wrote"
    assert list(predictor.signature.fields) == ["message", "reasoning", "queue"]


@each(
    ("toml", "words"),
    [
        ("program = 'message -> '", "message"),
        (
            "[program]\nsignature = 'a -> b'\nmodule = 'ReAct'",
            "tunesmith.toml, line 3: `program.module`: Input should be",
        ),
        ("[program]\ninstructions = 'x'", "tunesmith.toml, line 1: `program.signature`: Field required"),
        (
            "[program]\nsignature = 'a -> b'\n\nmodul = 'x'",
            "tunesmith.toml, line 4: there is no key `program.modul`. Did",
        ),
        ("program = 3", "tunesmith.toml, line 1: `program`: Input should be a valid string. Given: 3."),
        ("[program]\nsignature = 'a -> b'\ndescriptions = {c = 'x'}", "has no field 'c'. It has: a, b."),
    ],
)
def test_a_wrong_program_without_code_is_told(toml: str, words: str, tmp_path: Path) -> None:
    write(tmp_path, toml)
    with contextlib.chdir(tmp_path), pytest.raises((UsageError, SignatureError)) as caught:
        Project.load().program()
    assert words in str(caught.value)


def test_a_metric_takes_its_arguments_after_its_name(tmp_path: Path) -> None:
    close: Any = find_metric("numeric_close:answer, rel=0.1, abs = 2", tmp_path)
    assert (close.rel, close.abs, close.metric_name) == (0.1, 2, "numeric_close(answer)")
    assert find_metric("set_match:tags,measure=recall", tmp_path).measure == "recall"  # type: ignore[attr-defined]
    assert find_metric("exact_match:a,b,normalize=false", tmp_path).normalize is False  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"It also takes rel=\.\.\., abs=\.\.\., as in `numeric_close:field,rel="):
        find_metric("numeric_close:answer,rell=0.1", tmp_path)


# What comes before what -----------------------------------------------------------------------------------------


def test_an_option_comes_before_a_variable_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "[lm]\nspec = 'embedded'\nslots = 1\n[compile]\nseed = 1\nbudget_calls = 10\nrun = 'x'")
    for name, text in (
        ("SLOTS", "2"),
        ("COMPILE_BUDGET_CALLS", "20"),
        ("COMPILE_SEED", "2"),
        ("COMPILE_FREEZE", '["a"]'),
        ("METRIC", "exact_match:queue"),
        ("COMPILE_RUN", ""),  # empty is unset, as everywhere
        ("COMPILE_NUM_CANDIDATES", "5"),
        ("PROMPT_LM", "openai/5"),
    ):
        monkeypatch.setenv(f"TUNESMITH_{name}", text)
    project = Project.load().changed(compile={"seed": 3}, lm={"slots": None}).with_options(["max_labeled_demos=2"])
    found = {name: (value, str(place)) for name, (value, place) in project.resolved().items()}
    expected = {
        "lm.spec": ("embedded", "tunesmith.toml, line 2"),
        "lm.slots": (2, "TUNESMITH_SLOTS"),
        "compile.budget_calls": (20, "TUNESMITH_COMPILE_BUDGET_CALLS"),
        "compile.seed": (3, "--seed"),
        "compile.freeze": (["a"], "TUNESMITH_COMPILE_FREEZE"),
        "compile.run": ("x", "tunesmith.toml, line 7"),
        "compile.num_candidates": (5, "TUNESMITH_COMPILE_NUM_CANDIDATES"),
        "compile.max_labeled_demos": (2, "--set"),
        "compile.max_rounds": (1, "default"),
        "metric": ("exact_match:queue", "TUNESMITH_METRIC"),
        "prompt_lm.spec": ("openai/5", "TUNESMITH_PROMPT_LM"),
        "program": (None, "default"),
    }
    assert {name: found[name] for name in expected} == expected
    assert project.settings.compile.options == {"num_candidates": 5, "max_labeled_demos": 2}


def test_options_under_lm_are_of_the_model_there_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "[lm]\nspec = 'ollama/a'\nnum_ctx = 4096\n[compile]\nnum_candidates = 3\nseed = 2")
    monkeypatch.setenv("TUNESMITH_LM_TEMPERATURE", "0.5")
    project = Project.load()
    assert project.settings.lm.options() == {"num_ctx": 4096, "temperature": 0.5}
    assert project.changed(lm={"spec": "ollama/b"}).settings.lm.options() == {"temperature": 0.5}
    monkeypatch.setenv("TUNESMITH_LM", "ollama/c")
    monkeypatch.setenv("TUNESMITH_COMPILE_COMPILER", "labeled-few-shot")
    project = Project.load()
    assert (project.settings.lm.spec, project.settings.lm.num_ctx) == ("ollama/c", None)
    assert (project.settings.compile.options, project.settings.compile.seed) == ({}, 2)


@each(
    ("name", "text", "words"),
    [
        ("SLOTS", "many", "TUNESMITH_SLOTS: `lm.slots`: Input should be a valid integer. Given: 'many'."),
        ("COMPILE_BUGET_CALLS", "3", "TUNESMITH_COMPILE_BUGET_CALLS: there is no key `compile.buget_calls`. Did you"),
        ("DATA_TRAIN", "x", "tunesmith.toml, line 2 and TUNESMITH_DATA_TRAIN: `data`: `file` and `train` contradict"),
        ("COMPILE_SEED", "1\nrun = 'x'", "TUNESMITH_COMPILE_SEED: `compile.seed`"),
        ("COMPILE_SEED", "[" * 9000, "TUNESMITH_COMPILE_SEED: `compile.seed`"),
    ],
)
def test_a_wrong_variable_is_named(
    name: str, text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(f"TUNESMITH_{name}", text)
        assert words in problem_here("[data]\nfile = 'x'\nsplit = {train = 1}", tmp_path)


def test_a_variable_that_is_nearly_one_is_told_and_others_are_left_alone() -> None:
    found = mistaken_variables({"TUNESMITH_BUDGET_CALLS": "3", "TUNESMITH_HOME": "x", "TUNESMITH_LM": "y"})
    assert found == [
        "The variable TUNESMITH_BUDGET_CALLS is set, and names no setting. Is TUNESMITH_COMPILE_BUDGET_CALLS meant?"
    ]


@each(
    ("name", "advice"),
    [
        ("COMPILE", "Each of its keys has a variable, such as TUNESMITH_COMPILE_COMPILER."),
        ("DATA", "Each of its keys has a variable, such as TUNESMITH_DATA_TRAIN."),
        ("EXPERIMENTS", "Write [experiments] into the project file."),
    ],
)
def test_a_variable_that_names_a_whole_table_is_told(name: str, advice: str) -> None:
    (found,) = mistaken_variables({f"TUNESMITH_{name}": "x"})
    assert found == f"The variable TUNESMITH_{name} is set, and names a whole table: that says nothing. {advice}"


def test_experiments_are_of_the_file_alone() -> None:
    assert environment_layer({"TUNESMITH_EXPERIMENTS": "{a = {seeds = [1]}}"}).values == {}


def test_an_empty_file_has_the_defaults(tmp_path: Path) -> None:
    settings = Project.load(write(tmp_path / "p", "")).settings
    assert (settings.program, settings.metric, settings.lm.spec) == (None, None, None)
    assert (settings.compile.compiler, settings.compile.run, settings.compile.seed) == ("portfolio", "compile", 0)


@each(
    ("toml", "words"),
    [
        ("programm = 'a:b'", "there is no key `programm`. Did you mean `program`?"),
        ("[compile]\nbuget_calls = 3", "`compile.buget_calls`. Did you mean `budget_calls`?"),
        ("[data]\nfile = 'x'\nsplit = {train = 1, sed = 2}", "`data.split.sed`. Did you mean `seed`?"),
        ("[lm]\nzzz = 1", "`lm.zzz`. Known are: spec, slots, temperature"),
        ("[lm]\nformats = ['json']", "there is no key `lm.formats`. It stands under [compile]."),
        ("num_ctx = 4096", "there is no key `num_ctx`. It stands under [lm]."),
        ("[model]\nspec = 'x'", "there is no key `model`"),
        ("program = 3", "`program`: Input should be a valid string. Given: 3."),
        ("[compile]\nseed = '3'", "`compile.seed`: Input should be a valid integer. Given: '3'."),
        ("[compile]\nbudget_calls = -1", "`compile.budget_calls`"),
        (
            "[compile]\nbudget_calls = 0",
            "`compile.budget_calls`: Input should be greater than or equal to 1. Given: 0.",
        ),
        ("[compile]\nbudget_calls = true", "`compile.budget_calls`"),
        (
            "[compile]\ncompiler = 'magic'",
            "There is no compiler 'magic'. Use one of: ",
        ),
        ("[compile]\nnum_candidates = 0", "[compile] `num_candidates` must be at least 1. Given: 0."),
        ("[compile]\nnum_candidats = 3", "`compile.num_candidats`. Did you mean `num_candidates`?"),
        ("[compile]\nk = 3", "`k` is not an option of the compiler Portfolio"),
        ("num_candidates = 3", "there is no key `num_candidates`. It stands under [compile]."),
        ("[compile]\nformats = 'bare'", "[compile] `formats`: Input should be a valid list. Given: 'bare'."),
        ("[lm]\nslots = 0", "`lm.slots`"),
        ("[data]\ntrain = ['a']", "`data.train`"),
        ("[data]\nfile = 'x'", "`file` and `split` belong together"),
        ("[data]\nfile = 'x'\ntest = 'y'\nsplit = {train = 1}", "`file` and `test` contradict each other"),
        ("[data]\ninputs = ['a']\nsignature = 'a:b'", "`inputs` and `signature` contradict each other"),
        ("[data]\nfile = 'x'\nsplit = {train = 'all'}", "`data.split.train`"),
        ("data = 3", "`data`"),
        ("program = ", "is not TOML"),
        ("[experiments.'..']\nseeds = [1]", "tunesmith.toml, line 1: `experiments`: '..' cannot be"),
        ("program = " + "[" * 9000, "nested too deeply"),
        ("[data]\nencoding = cp1252", "A text stands in quotes."),
        ("[lm]\nspec = 'a'\n[lm]\nspec = 'b'", "is not TOML"),
    ],
)
def test_a_mistake_names_file_key_and_remedy(toml: str, words: str, tmp_path: Path) -> None:
    assert words in problem(toml, tmp_path)


def test_several_mistakes_are_counted(tmp_path: Path) -> None:
    assert "(1 more)" in problem("programm = 'a'\nmetrik = 'b'", tmp_path)


def test_a_file_that_is_no_text_or_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tunesmith.toml"
    with pytest.raises(UsageError, match="cannot be read"):
        Project.load(file)
    with pytest.raises(UsageError, match="tunesmith init"):
        Project.load()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        Project.load(tmp_path)
    file.write_bytes(b"\xef\xbb\xbf[lm]\r\nspec = 'embedded'\r\n")
    assert Project.load(tmp_path).settings.lm.spec == "embedded"


def test_the_file_is_looked_for_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "metric = 'exact_match:queue'")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert Project.load().root == tmp_path
    monkeypatch.chdir(tmp_path)
    assert Project.load().root == Path()


def test_data_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "p"
    write(folder, "program = 'code_of_it:program'\n[data]\ntrain = 'rows.jsonl'\n")
    (folder / "rows.jsonl").write_text('{"message": "m", "queue": "q"}\n', encoding="utf-8")
    project = Project.load(folder)
    splits = project.data(project.program())
    assert splits.train is not None
    assert (len(splits.train), splits.val, splits.test) == (1, None, None)
    (folder / "rows.jsonl").write_text('{"message": "m"}\n', encoding="utf-8")
    with pytest.raises(RowError, match="queue"):
        project.data(project.program())
    (folder / "rows.jsonl").unlink()
    with pytest.raises(UsageError, match=r"rows\.jsonl"):
        project.data(project.program())


def test_one_file_is_split_as_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    write(
        folder,
        "program = 'code_of_it:program'\n[data]\nfile = 'rows.csv'\n"
        "split = {train = 0.5, val = 5, test = 5, seed = 3, stratify = 'queue', near = 0.8}\n",
    )
    rows = "\n".join(f"m{i},{'ab'[i % 2]}" for i in range(20))
    (folder / "rows.csv").write_text(f"message,queue\n{rows}\n", encoding="utf-8")
    project = Project.load(folder)
    splits = project.data(project.program())
    assert [len(part) for part in (splits.train, splits.val, splits.test) if part is not None] == [10, 5, 5]


def test_programs_are_instances_classes_and_functions(tmp_path: Path) -> None:
    write(tmp_path, "")
    assert isinstance(find_program("code_of_it:program", tmp_path), Predict)
    assert isinstance(find_program("code_of_it:Holder.inner", tmp_path), Predict)
    assert type(find_program("code_of_it:Pipeline", tmp_path)).__name__ == "Pipeline"
    assert type(find_program("code_of_it:made", tmp_path)).__name__ == "Pipeline"


@each(
    ("reference", "words"),
    [
        ("program", "A name is written `module:attr`"),
        ("code_of_it:", "A name is written `module:attr`"),
        ("code of it:x", "A name is written `module:attr`"),
        ("../code_of_it:program", "A name is written `module:attr`"),
        ("no_such_thing:x", "There is no module `no_such_thing`"),
        ("code_of_it:progam", "Did you mean `program`?"),
        ("code_of_it:program.x.y", "there is no `x`"),
        ("code_of_it:Route", "is a signature. Make a program of it: `ts.Predict(Route)`"),
        ("code_of_it:needs", "could not make the program: TypeError"),
        ("code_of_it:__name__", "is not a program"),
        ("code_of_it:Holder", "is not a program"),
    ],
)
def test_a_wrong_name_of_a_program_says_what_is_wrong(reference: str, words: str, tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(UsageError) as caught:
        find_program(reference, tmp_path)
    assert words in str(caught.value)


@each("code", ["1 / 0", "import nothing_of_this_name", "def broken(:", "raise SystemExit(3)"])
def test_code_that_cannot_be_imported_is_a_message_with_its_place(code: str, tmp_path: Path) -> None:
    (tmp_path / "bad_code.py").write_text(f"x = 1\n{code}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="Importing `bad_code` failed") as caught:
        find_object("bad_code:x", tmp_path)
    assert "bad_code.py" in str(caught.value)


def test_two_projects_may_use_the_same_module_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, "program = 'code_of_it:value'", code=f"value = {name!r}\n")
    assert find_object("code_of_it:value", tmp_path / "one") == "one"
    assert find_object("code_of_it:value", tmp_path / "two") == "two"
    assert find_object("code_of_it:value", tmp_path / "one") == "one"


def test_a_file_named_like_a_loaded_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"json\.py is taken by another module .* Rename the file"):
        find_object("json:x", tmp_path)
    assert sys.modules["json"].__name__ == "json"


def test_metrics_are_functions_or_built_in_names(tmp_path: Path) -> None:
    write(tmp_path, "")
    assert find_metric("code_of_it:metric", tmp_path)(None, None) is True
    assert getattr(find_metric("exact_match:queue", tmp_path), "metric_name", "") == "exact_match(queue)"
    assert getattr(find_metric("exact_match:a, b", tmp_path), "metric_name", "") == "exact_match(a, b)"
    assert getattr(find_metric("exact_match", tmp_path), "metric_name", "") == "exact_match"
    assert getattr(find_metric("token_f1:answer", tmp_path), "metric_name", "") == "token_f1(answer)"


@each(
    "reference", ["exactmatch", "exactmatch:queue", "code_of_it:__name__", "contains:a,b,c", "one_of", "code_of_it:x"]
)
def test_a_wrong_name_of_a_metric_is_refused(reference: str, tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(UsageError):
        find_metric(reference, tmp_path)


def test_a_metric_of_no_module_is_told_which_are_built_in(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_metric("f1:queue", tmp_path)
    assert "token_f1" in "".join(caught.value.__notes__)


def test_inputs_come_from_the_signature_or_from_forward(tmp_path: Path) -> None:
    write(tmp_path, "")
    chain = program_inputs(find_program("code_of_it:other", tmp_path))
    assert chain.names == ("message",)
    assert chain.signature is not None
    assert list(chain.signature.output_fields) == ["queue"]  # the reasoning is nobody's label
    pipeline = program_inputs(find_program("code_of_it:Pipeline", tmp_path))
    assert (pipeline.names, pipeline.signature) == (("message", "tone"), None)
    assert program_inputs(ChainOfThought("a, b -> c")).names == ("a", "b")
    assert program_inputs(dspy.ReAct("question -> answer", tools=[])).names == ("question",)


def test_a_program_that_hides_its_inputs_needs_them_named(tmp_path: Path) -> None:
    code = CODE + (
        "\nclass Hidden(Pipeline):\n    def forward(self, **inputs):\n        return super().forward(**inputs)\n"
    )
    folder = tmp_path / "p"
    write(folder, "program = 'code_of_it:Hidden'", code)
    project = Project.load(folder)
    with pytest.raises(UsageError, match="inputs"):
        project.inputs(project.program())
    write(folder, "program = 'code_of_it:Hidden'\n[data]\ninputs = ['message']", code)
    project = Project.load(folder)
    assert project.inputs(project.program()).names == ("message",)
    write(folder, "program = 'code_of_it:Hidden'\n[data]\nsignature = 'code_of_it:Route'", code)
    project = Project.load(folder)
    assert project.inputs(project.program()).names == ("message",)


def test_compilers_take_their_options_and_no_others(tmp_path: Path) -> None:
    def compiler(toml: str) -> object:
        project = Project.load(write(tmp_path / "p", f"metric = 'exact_match:queue'\n[compile]\n{toml}"))
        return project.compiler(project.metric())

    search = compiler("num_candidates = 5\nmax_labeled_demos = 0\nbudget_calls = 7\nseed = 3\nformats = ['json']")
    assert isinstance(search, Portfolio)
    assert (search.num_candidates, search.max_labeled_demos, search.seed) == (5, 0, 3)
    assert (search.limit.calls, search.formats) == (7, ("json",))
    search = compiler(
        "compiler = 'random-search'\nrace = 'bound'\nbounds = [0, 1]\nsampler = 'tpe'\nlimits = {tokens = 300}\nobjectives = ['score']"
    )
    assert isinstance(search, RandomSearch)
    assert (search.race, search.bounds, search.sampler) == ("bound", (0.0, 1.0), "tpe")
    assert (search.limits, search.objectives) == ({"tokens": 300.0}, ("score",))
    with pytest.raises(UsageError, match="no race 'derby'"):
        compiler("compiler = 'random-search'\nrace = 'derby'")
    few = compiler("compiler = 'labeled-few-shot'\nk = 3")
    assert isinstance(few, LabeledFewShot)
    assert few.k == 3
    boot = compiler("compiler = 'bootstrap-few-shot'\nmax_rounds = 2\nmetric_threshold = 0.5")
    assert isinstance(boot, BootstrapFewShot)
    assert (boot.max_rounds, boot.metric_threshold) == (2, 0.5)
    with pytest.raises(UsageError, match="`k` is not an option of the compiler Portfolio"):
        compiler("k = 3")


def test_settings_are_replaced_and_checked(tmp_path: Path) -> None:
    project = Project.load(write(tmp_path / "p", "metric = 'a:b'\n[compile]\nseed = 1\nrun = 'x'"))
    changed = project.changed(metric="c:d", program=None, compile={"seed": 2, "run": None})
    assert (changed.settings.metric, changed.settings.program) == ("c:d", None)
    assert (changed.settings.compile.seed, changed.settings.compile.run) == (2, "x")
    assert project.settings.compile.seed == 1
    with_options = Project.load(write(tmp_path / "q", "[compile]\nnum_candidates = 3\nseed = 4"))
    assert with_options.changed(compile={"compiler": "portfolio"}).settings.compile.options == {"num_candidates": 3}
    other = with_options.changed(compile={"compiler": "labeled-few-shot"}).settings.compile
    assert (other.options, other.seed) == ({}, 4)
    with pytest.raises(UsageError, match=r"`compile\.budget_calls`"):
        project.changed(compile={"budget_calls": -1})


def test_what_is_missing_is_named_with_both_ways_to_give_it(tmp_path: Path) -> None:
    project = Project.load(write(tmp_path / "p", ""))
    with pytest.raises(UsageError, match=r"There is no program: .*names none"):
        project.program()
    with pytest.raises(UsageError, match="--metric"):
        project.metric()


@pytest.mark.parametrize(
    "data", ["group = 'room'\nsplit = {train = 4, test = 4}", "split = {train = 4, test = 4, group = 'room'}"]
)
def test_the_group_of_related_rows_goes_with_every_split_and_file(tmp_path: Path, data: str) -> None:
    rows = [{"comment": f"Comment {i}.", "topic": "room", "room": i // 2} for i in range(8)]
    (tmp_path / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (tmp_path / "tunesmith.toml").write_text(
        f"[data]\nfile = 'data.jsonl'\ninputs = ['comment']\n{data}\n", encoding="utf-8"
    )
    project = Project.load(tmp_path)
    program = Predict("comment -> topic")
    splits = project.data(program)
    assert splits.test is not None
    assert (splits.test.group, project.read(tmp_path / "data.jsonl", program).group) == ("room", "room")


def test_two_groups_contradict_each_other(tmp_path: Path) -> None:
    text = "[data]\nfile = 'x'\ngroup = 'a'\nsplit = {train = 1, group = 'b'}"
    (tmp_path / "tunesmith.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="contradict"):
        Project.load(tmp_path)


# The key of a server -------------------------------------------------------------------------------------------


def settings_of(folder: Path, spec: str, name: str) -> LmSettings:
    (folder / "tunesmith.toml").write_text(f"[lm]\nspec = {spec!r}\napi_key_env = {name!r}\n", encoding="utf-8")
    return Project.load(folder).settings.lm


@pytest.mark.parametrize("spec", ["openai/mine", "anthropic/claude-sonnet-4-5", "hosted_vllm/m"])
def test_a_key_comes_from_the_variable_that_the_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.setenv("MY_SERVER_KEY", "abc")
    assert settings_of(tmp_path, spec, "MY_SERVER_KEY").options() == {"api_key": "abc"}


@each("name", ["sk-1234-secret", "a secret", "", "Bearer abc", "9KEY"])
def test_what_may_be_the_key_itself_is_refused_and_not_shown(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="the name of an environment variable") as caught:
        settings_of(tmp_path, "openai/mine", name).options()
    assert not name or name not in str(caught.value)


@each(
    ("spec", "message"),
    [
        ("openai/mine", r"MY_UNSET_KEY, which `api_key_env` .* is not set"),
        ("ollama/mine", "OLLAMA_API_KEY"),
        ("embedded", "takes no key"),
        ("gguf:a/b.gguf", "takes no key"),
    ],
)
def test_a_key_that_cannot_be_had_or_sent_is_said(tmp_path: Path, spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings_of(tmp_path, spec, "MY_UNSET_KEY").options()


def test_a_key_in_the_file_is_an_unknown_option_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "tunesmith.toml").write_text("[lm]\nspec = 'openai/m'\napi_key = 'sk-secret'\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"no key `lm\.api_key`.*Did you mean `api_key_env`") as caught:
        Project.load(tmp_path)
    assert "sk-secret" not in str(caught.value)


def test_the_data_table_says_how_files_are_read(tmp_path: Path) -> None:
    options = "delimiter = '^'\nencoding = 'cp1252'\ncolumns = {queue = 'labels.0'}\n"
    write(tmp_path, f"program = 'code_of_it:program'\n[data]\ntrain = 'rows.csv'\n{options}")
    (tmp_path / "rows.csv").write_text('message^labels\ncafé^["bar"]\n', encoding="cp1252")
    project = Project.load(tmp_path)
    (example,) = project.data(project.program()).train or ()
    assert (example.message, example.queue) == ("café", "bar")


def test_the_prompt_model_has_a_table_of_its_own(tmp_path: Path) -> None:
    toml = (
        "[lm]\nspec = 'ollama/small'\nhost = 'http://127.0.0.1:9'\n"
        "[prompt_lm]\nspec = 'ollama/large'\nhost = 'http://127.0.0.1:8'\ntemperature = 0.5\n"
    )
    project = Project.load(write(tmp_path / "p", toml))
    found = chosen_role("prompt_lm", None, project)
    assert found is not None
    assert (found.model, found.kwargs["temperature"]) == ("ollama/large", 0.5)
    given = chosen_role("prompt_lm", "ollama/small", project)
    assert given is not None
    assert (given.model, given.kwargs.get("temperature")) == ("ollama/small", None)
    assert chosen_role("prompt_lm", None, Project.load(write(tmp_path / "q", "[lm]\nspec = 'ollama/small'"))) is None
    with pytest.raises(UsageError, match=r"`prompt_lm\.zzz`"):
        Project.load(write(tmp_path / "r", "[prompt_lm]\nzzz = 1"))
