import json
import os
import resource
import shutil
import signal
import stat
import sys
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path

import dspy
import pytest

import tunesmith as ts
from tests.artifacts.programs import (
    DEMO,
    PLACE_DEMO,
    TwoSteps,
    forge,
    improved,
    one_step,
    saved,
)
from tests.each import each
from tests.scale import FULL, scaled
from tunesmith.artifacts import load, new_key, save, verify
from tunesmith.artifacts.folder import LARGEST, MANIFEST
from tunesmith.artifacts.state import check_state
from tunesmith.errors import ArtifactError, UsageError
from tunesmith.lm import ScriptedLM
from tunesmith.modules import Candidate, ChainOfThought, Predict, bind, bound_format, render


def asked(*questions: str) -> list[dspy.Example]:
    return [dspy.Example(question=text, answer="yes").with_inputs("question") for text in questions]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_compile_gives_the_same_bytes(tmp_path):
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b")
    assert first.sha256 == second.sha256
    assert files_of(first.path) == files_of(second.path)


def test_times_and_what_was_paid_are_not_part_of_the_identity(tmp_path):
    first = saved(tmp_path / "a")
    second = saved(tmp_path / "b", created="later", paid={"calls": 0, "test_opened": 9})
    assert first.sha256 == second.sha256
    assert second.manifest["unhashed"] == {"created": "later", "paid": {"calls": 0}, "test_opened": 9}


@each(
    "change",
    [
        {"verdict": "untested"},
        {"seed": 1},
        {"seed": None},
        {"metric": None},
        {"notes": ["said"]},
        {"extra": {"run": "x"}},
        {"scores": {"baseline": 0.25, "compiled": 0.5000001}},
        {"charged": {"calls": 13}},
        {"lm_identity": {"model": "other"}},
        {"selected_on": {"valset": asked("x")}},
    ],
)
def test_everything_else_is_part_of_the_identity(tmp_path, change):
    assert saved(tmp_path / "a").sha256 != saved(tmp_path / "b", **change).sha256


def test_examples_that_took_part_are_found_again_by_their_inputs(tmp_path):
    took_part = {"trainset": asked("a", "b", "b"), "valset": asked("c", "d")}
    artifact = saved(tmp_path / "a", selected_on=took_part)
    kept = artifact.manifest["selected_on"]
    assert {split: len(keys) for split, keys in kept.items()} == {"trainset": 2, "valset": 2}
    assert all(keys == sorted(keys) for keys in kept.values())
    assert artifact.known(asked("new", "d", "c", "d", "a")) == {"trainset": 1, "valset": 3}
    assert artifact.known(asked("new")) == {}
    other_label = [dspy.Example(question="c", answer="another", city="Lima").with_inputs("question")]
    assert artifact.known(other_label) == {"valset": 1}


def test_an_artifact_of_before_has_no_keys_and_knows_no_example(tmp_path):
    artifact = saved(tmp_path / "a")
    assert "selected_on" not in artifact.manifest
    assert artifact.known(asked("a")) == {}


def test_the_manifest_says_what_was_compiled(tmp_path):
    artifact = saved(tmp_path / "a", seed=3, notes=("one", "two"), extra={"budget": {"calls": 9}})
    manifest = artifact.manifest
    assert manifest["schema_version"] == 3
    assert manifest["program"]["class"] == "tunesmith.modules.predict:ChainOfThought"
    assert artifact.signatures["predict"][1] == {
        "name": "kind",
        "role": "input",
        "type": "Literal['a', 'b c']",
        "desc": None,
    }
    assert manifest["candidate"]["parts"]["predict"]["instruction"] == "Answer in one word."
    assert manifest["baseline"] == Candidate.of(one_step()).to_json()
    assert manifest["versions"]["dspy"] == dspy.__version__
    assert manifest["versions"]["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (manifest["seed"], manifest["notes"]) == (3, ["one", "two"])
    assert manifest["extra"] == {"budget": {"calls": 9}}
    assert artifact.lm["backend"] == "scripted"
    assert artifact.scores == {"baseline": 0.25, "compiled": 0.5}


def test_the_diff_shows_what_the_compile_changed(tmp_path):
    lines = saved(tmp_path / "a").diff().splitlines()
    assert "+instruction: Answer in one word." in lines
    assert "+demo output answer: Lima" in lines
    assert any(line.startswith("-instruction: Given the fields") for line in lines)


def test_the_diff_needs_none_of_the_programs_own_types(tmp_path):
    program = TwoSteps()
    artifact = saved(tmp_path / "a", program, improved(program, PLACE_DEMO, path="locate"))
    assert "+demo input since: 1999-12-31" in artifact.diff()
    assert "founded" in artifact.diff()


def test_state_json_is_what_plain_dspy_writes(tmp_path):
    program = one_step()
    compiled = improved(program, DEMO).apply(program)
    artifact = saved(tmp_path / "a", program)
    compiled.save(tmp_path / "plain.json")
    assert (artifact.path / "state.json").read_bytes() == (tmp_path / "plain.json").read_bytes()


def test_state_json_holds_nothing_but_instructions_demos_and_formats(tmp_path):
    program = TwoSteps()
    program._compiled = True
    program.locate.lm = ScriptedLM("unused")
    program.locate.traces = [{"secret": 1}]
    program.locate.train = [dspy.Example(secret=2)]
    artifact = saved(tmp_path / "a", program, improved(program, PLACE_DEMO, path="locate"))
    raw = (artifact.path / "state.json").read_text()
    state = json.loads(raw)
    assert set(state) == {"locate", "answer.predict", "metadata"}
    assert set(state["metadata"]) == {"dependency_versions"}
    for path in ("locate", "answer.predict"):
        assert set(state[path]) == {"demos", "lm", "signature", "traces", "train", "tunesmith_format"}
        assert state[path]["lm"] is None
        assert state[path]["traces"] == []
        assert state[path]["train"] == []
    assert not any(word in raw for word in ("_compiled", "secret", "scripted"))
    assert program.locate.traces == [{"secret": 1}], "the program itself is not changed"


def test_demos_of_models_dates_and_enums_are_json(tmp_path):
    program = TwoSteps()
    artifact = saved(tmp_path / "a", program, improved(program, PLACE_DEMO, path="locate"))
    state = json.loads((artifact.path / "state.json").read_text())
    assert state["locate"]["demos"] == [
        {
            "text": "Lima is old.",
            "since": "1999-12-31",
            "place": {"city": "Lima", "founded": "1535-01-18"},
            "grade": "good",
        }
    ]


def test_a_demo_that_a_program_made_is_marked_as_dspy_marks_it(tmp_path):
    program = one_step()
    artifact = saved(tmp_path / "a", program, improved(program, {**DEMO, "augmented": True}))
    state = json.loads((artifact.path / "state.json").read_text())
    assert state["predict"]["demos"][0]["augmented"] is True
    assert load(artifact.path).predict.demos[0].augmented is True


def test_the_folder_is_private_and_holds_two_files(tmp_path):
    artifact = saved(tmp_path / "deep" / "er" / "a")
    assert stat.S_IMODE(artifact.path.stat().st_mode) == 0o700
    assert sorted(files_of(artifact.path)) == ["manifest.json", "state.json"]
    assert os.listdir(artifact.path.parent) == ["a"]


def test_an_artifact_is_replaced_and_nothing_stays_beside_it(tmp_path):
    first = saved(tmp_path / "a")
    second = saved(tmp_path / "a", seed=5)
    assert first.sha256 != second.sha256
    assert verify(tmp_path / "a").sha256 == second.sha256
    assert os.listdir(tmp_path) == ["a"]


def test_a_damaged_artifact_may_be_replaced(tmp_path):
    saved(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text("{")
    assert verify(saved(tmp_path / "a").path)


def test_an_empty_folder_may_become_an_artifact(tmp_path):
    (tmp_path / "a").mkdir()
    assert stat.S_IMODE(saved(tmp_path / "a").path.stat().st_mode) == 0o700


def _folder_of_the_user(target: Path) -> None:
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")


def _artifact_with_a_foreign_file(target: Path) -> None:
    saved(target)
    (target / "NOTES.md").write_text("mine")


def _file(target: Path) -> None:
    target.write_text("mine")


def _link(target: Path) -> None:
    target.symlink_to(saved(target.parent / "elsewhere").path)


def _dangling_link(target: Path) -> None:
    target.symlink_to(target.parent / "nowhere")


@each("make", [_folder_of_the_user, _artifact_with_a_foreign_file, _file, _link, _dangling_link])
def test_what_is_no_artifact_is_refused_and_left_alone(tmp_path, make):
    target = tmp_path / "a"
    make(target)
    before = sorted(
        (str(path), path.is_symlink(), path.read_bytes() if path.is_file() else b"") for path in tmp_path.rglob("*")
    )
    with pytest.raises(UsageError, match=r"another name|folder it points to"):
        saved(target, seed=99)
    after = sorted(
        (str(path), path.is_symlink(), path.read_bytes() if path.is_file() else b"") for path in tmp_path.rglob("*")
    )
    assert after == before


@pytest.mark.parametrize("path", ["/", "..", "a/.."])
def test_a_path_without_a_name_is_refused(tmp_path, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="must end in a folder name"):
        saved(Path(path))


def in_child(work: Callable[[], None]) -> int:
    """Return the exit code of `work` in a process of its own: 0, or 17 after an `ArtifactError`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except ArtifactError:
            code = 17
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def sizes(largest: int) -> list[int]:
    """Return evenly spread numbers of bytes up to the largest file, the first and the last among them."""
    count = max(scaled(largest // 8), 6)
    return sorted({round(number * (largest - 1) / (count - 1)) for number in range(count)})


@pytest.mark.whole
@pytest.mark.timeout(900)
def test_a_disk_that_is_full_or_a_kill_at_any_byte_keeps_the_old_artifact(tmp_path):
    program = one_step()
    candidate = improved(program, DEMO)
    old = saved(tmp_path / "a", program, candidate)

    def save_with_room_for(size: int, at_the_end: signal.Handlers) -> None:
        signal.signal(signal.SIGXFSZ, at_the_end)  # the system writes as much as fits, then it sends this
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        saved(tmp_path / "a", program, candidate, seed=5)

    for size in sizes((old.path / "manifest.json").stat().st_size):
        assert in_child(lambda size=size: save_with_room_for(size, signal.SIG_IGN)) == 17
        assert verify(tmp_path / "a").sha256 == old.sha256
        assert os.listdir(tmp_path) == ["a"], "a save that failed clears up"
        assert in_child(lambda size=size: save_with_room_for(size, signal.SIG_DFL)) == -signal.SIGXFSZ
        assert verify(tmp_path / "a").sha256 == old.sha256
    assert saved(tmp_path / "a", program, candidate, seed=6).manifest["seed"] == 6
    assert os.listdir(tmp_path) == ["a"], "the next save clears up after a kill"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_parent_keeps_the_old_artifact(tmp_path):
    old = saved(tmp_path / "a")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ArtifactError, match="unchanged"):
            saved(tmp_path / "a", seed=5)
    finally:
        tmp_path.chmod(0o700)
    assert verify(tmp_path / "a").sha256 == old.sha256


def steps_of_a_save(target: Path, program: dspy.Module, candidate: Candidate, last: int | None, sign: Path) -> int:
    """Save, and count the steps on files: each is an event of the interpreter. Die by SIGKILL just before step `last`."""
    count = 0

    def watch(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if str(target.parent) in str(arguments) or name in ("os.remove", "os.rmdir"):
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    sys.addaudithook(watch)
    saved(target, program, candidate, seed=5, sign=sign)
    return count


@pytest.mark.whole
@pytest.mark.timeout(900)
def test_a_kill_at_any_step_leaves_the_old_or_the_new_artifact(tmp_path):
    pytest.importorskip("cryptography")
    new_key(tmp_path / "key")
    program = one_step()
    arguments = program, improved(program, DEMO)
    old, new = saved(tmp_path / "old", *arguments), saved(tmp_path / "new", *arguments, seed=5)
    shutil.copytree(old.path, tmp_path / "counted" / "a")
    count_file = tmp_path / "count"

    def count() -> None:
        count_file.write_text(str(steps_of_a_save(tmp_path / "counted" / "a", *arguments, None, tmp_path / "key")))

    assert in_child(count) == 0
    steps = int(count_file.read_text())
    assert steps > 20
    survivors = []
    for number in range(steps) if FULL else range(0, steps, 5):
        target = tmp_path / str(number) / "a"
        shutil.copytree(old.path, target)
        how = in_child(lambda n=number, t=target: steps_of_a_save(t, *arguments, n, tmp_path / "key"))
        assert how == -signal.SIGKILL
        survivors.append(verify(target).sha256)
        assert load(target).artifact.path == target
        # The next save clears up and goes on.
        assert saved(target, *arguments, seed=6).manifest["seed"] == 6
        assert os.listdir(target.parent) == ["a"]
    assert set(survivors) == {old.sha256, new.sha256}
    assert survivors == sorted(survivors, key=[old.sha256, new.sha256].index), "the old one, then the new one"


def test_the_copy_aside_is_found_where_a_crash_left_only_that(tmp_path):
    artifact = saved(tmp_path / "a")
    os.rename(tmp_path / "a", tmp_path / ".a.old")
    assert verify(tmp_path / "a").sha256 == artifact.sha256
    assert os.listdir(tmp_path) == [".a.old"], "reading writes nothing"


def test_a_failed_save_after_a_crash_restores_the_copy_aside(tmp_path):
    artifact = saved(tmp_path / "a")
    os.rename(tmp_path / "a", tmp_path / ".a.old")
    with pytest.raises(ArtifactError):
        saved(tmp_path / "a", scores={"mean": float("nan")})
    assert verify(tmp_path / "a").sha256 == artifact.sha256


def test_a_damaged_artifact_is_not_hidden_by_a_copy_aside(tmp_path):
    saved(tmp_path / "a")
    os.rename(tmp_path / "a", tmp_path / ".a.old")
    saved(tmp_path / "b")
    os.rename(tmp_path / "b", tmp_path / "a")
    (tmp_path / "a" / "state.json").write_text("{}")
    with pytest.raises(ArtifactError, match="changed"):
        verify(tmp_path / "a")


def test_a_program_without_the_candidate_is_refused(tmp_path):
    program = one_step()
    candidate = improved(program, DEMO)
    artifact = saved(tmp_path / "a")
    manifest = artifact.manifest
    with pytest.raises(UsageError, match="does not use the candidate"):
        _save_uncompiled(tmp_path / "b", program, candidate, manifest)
    with pytest.raises(UsageError, match="predictors"):
        _save_uncompiled(tmp_path / "b", TwoSteps(), candidate, manifest)
    assert not (tmp_path / "b").exists()


def _save_uncompiled(folder, program, candidate, manifest):
    save(
        folder,
        program,
        candidate=candidate,
        baseline=candidate,
        lm_identity=manifest["lm"],
        metric=None,
        datasets={},
        scores={},
        verdict="untested",
        charged={},
        paid={},
    )


@each(
    "change",
    [
        {"scores": {"mean": float("nan")}},
        {"scores": {"mean": float("inf")}},
        {"charged": {"calls": object()}},
        {"extra": {"when": date(2020, 1, 1)}},
        {"notes": ["\ud800"]},
        {"extra": {("a", "b"): 1}},
        {"extra": {1: "a", "1": "b"}},
        {"datasets": {"train": 3}},
        {"paid": {"test_opened": "often"}},
        {"adapter": "no class"},
        {"verdict": 3},
    ],
)
def test_what_json_cannot_hold_is_refused_before_anything_is_replaced(tmp_path, change):
    old = saved(tmp_path / "a")
    with pytest.raises(ArtifactError):
        saved(tmp_path / "a", **change)
    assert verify(tmp_path / "a").sha256 == old.sha256
    assert os.listdir(tmp_path) == ["a"]


def test_numbers_that_dspys_file_cannot_hold_are_refused(tmp_path):
    program = dspy.Predict("question: int -> answer: int")
    candidate = improved(program, {"question": 2**70, "answer": 1}, path="self")
    with pytest.raises(ArtifactError, match="64"):
        saved(tmp_path / "a", program, candidate)


@each("option", ["api_base", "base_url", "api_key", "model", "headers", "model_list"])
def test_sampling_may_not_say_where_the_model_is(tmp_path, option):
    program = one_step()
    candidate = Candidate(improved(program, DEMO).parts, {option: "http://elsewhere"})
    with pytest.raises(ArtifactError, match="not a portable request option"):
        saved(tmp_path / "a", program, candidate)
    saved(tmp_path / "b")
    forge(
        tmp_path / "b",
        lambda manifest: (
            manifest["candidate"]["sampling"].update({option: "http://elsewhere"}),
            manifest["sampling"].update({option: "http://elsewhere"}),
        ),
    )
    with pytest.raises(ArtifactError, match="not a portable request option"):
        load(tmp_path / "b")


def test_sampling_options_come_back(tmp_path):
    program = one_step()
    candidate = Candidate(improved(program, DEMO).parts, {"temperature": 0.5, "stop": ["\n"]})
    artifact = saved(tmp_path / "a", program, candidate)
    assert artifact.manifest["sampling"] == {"temperature": 0.5, "stop": ["\n"]}
    assert load(artifact.path).predict.config == {"temperature": 0.5, "stop": ["\n"]}


def sent_by(program, **inputs):
    sent = render(program, **inputs)
    return sent.messages, sent.options


@each(
    ("make", "inputs"),
    [
        (lambda: dspy.Predict("question -> answer"), {"question": "?"}),
        (lambda: dspy.Predict("question -> answer: int", temperature=0.5), {"question": "?"}),
        (lambda: Predict("question -> answer", max_tokens=9), {"question": "?"}),
        (lambda: ChainOfThought("question -> answer"), {"question": "?"}),
        (lambda: dspy.ChainOfThought("question -> answer"), {"question": "?"}),
        (TwoSteps, {"text": "Lima is old."}),
    ],
)
@each("format_name", [None, "xml"])
def test_any_program_can_be_saved_by_itself(tmp_path, make, inputs, format_name):
    program = make()
    for _, predictor in program.named_predictors():
        bind(predictor, format_name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        artifact = save(tmp_path / "a", program)
        loaded = load(artifact.path, program=make)
    assert sent_by(loaded, **inputs) == sent_by(program, **inputs)
    assert [bound_format(one) for _, one in loaded.named_predictors()] == [format_name] * len(program.predictors())
    assert [one.config for one in loaded.predictors()] == [one.config for one in program.predictors()]


def test_what_nobody_said_is_unknown_in_the_manifest(tmp_path):
    artifact = save(tmp_path / "a", one_step())
    assert artifact.lm["model"] == "unknown"
    assert artifact.verdict == "unknown"
    assert artifact.baseline_json is None
    assert artifact.diff() == ""
    assert artifact.manifest["notes"] == ["Not given to `ts.save`, so unknown: baseline, model, data, scores, cost."]


def test_what_was_said_is_not_unknown(tmp_path):
    artifact = save(tmp_path / "a", one_step(), scores={"compiled": 0.5}, lm_identity={"model": "mine"})
    assert artifact.manifest["notes"] == ["Not given to `ts.save`, so unknown: baseline, data, cost."]
    assert saved(tmp_path / "b").manifest["notes"] == []


@pytest.mark.parametrize("lm", [None, ScriptedLM("Lima")])
def test_a_program_of_no_known_model_loads_with_and_without_one(tmp_path, lm):
    artifact = save(tmp_path / "a", Predict("question -> answer"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(artifact.path, lm=lm)
    with dspy.context(lm=ScriptedLM("Lima")):
        assert loaded(question="Capital of Peru?").answer == "Lima"


def test_a_program_under_the_callers_own_adapter_says_so(tmp_path):
    with dspy.context(adapter=dspy.JSONAdapter()):
        artifact = save(tmp_path / "a", dspy.Predict("question -> answer"))
        assert load(artifact.path)
    with pytest.raises(ArtifactError, match="JSONAdapter"):
        load(artifact.path)


def test_the_state_beside_a_manifest_brings_formats_and_options_to_a_predictor_of_tunesmiths(tmp_path):
    program = dspy.Predict("question -> answer", temperature=0.5)
    bind(program, "markdown")
    artifact = save(tmp_path / "a", program)
    loaded = Predict("question -> answer")
    loaded.load(artifact.path / "state.json")
    assert (bound_format(loaded), loaded.config) == ("markdown", {"temperature": 0.5})


def test_a_changed_format_in_the_state_is_damage(tmp_path):
    program = Predict("question -> answer", temperature=0.5)
    bind(program, "markdown")
    artifact = save(tmp_path / "a", program)
    for name, value in (("tunesmith_format", "xml"), ("config", {"temperature": 0.9})):
        state = json.loads((artifact.path / "state.json").read_text())
        with pytest.raises(ArtifactError, match=name):
            check_state({**state, name: value}, artifact.manifest, "here")


def test_a_program_without_predictors_has_nothing_to_save(tmp_path):
    with pytest.raises(UsageError, match="no predictors"):
        save(tmp_path / "a", dspy.Module())
    assert not (tmp_path / "a").exists()


@each(
    ("demo", "kept", "warned"),
    [
        ({"question": "a", "answer": "b", "id": 3}, 1, None),
        ({"question": "a", "answer": "b", "augmented": True}, 1, None),
        ({"answer": "b"}, 1, None),
        ({"question": "a"}, 0, None),
        ({"question": "a", "answer": None}, 0, "Demo 1 of `self` is not saved.*`answer`"),
    ],
)
def test_demos_as_dspy_leaves_them_are_saved_or_warned_about(tmp_path, demo, kept, warned):
    program = dspy.Predict("question -> answer")
    program.demos = [demo]
    with warnings.catch_warnings() if warned is None else pytest.warns(UserWarning, match=warned):
        warnings.simplefilter("error" if warned is None else "always")
        save(tmp_path / "a", program)
    assert len(load(tmp_path / "a").demos) == kept
    assert program.demos == [demo]


def test_what_was_loaded_can_be_saved_again(tmp_path):
    first = save(tmp_path / "a", improved(one_step(), DEMO).apply(one_step()))
    assert save(tmp_path / "b", load(first.path)).candidate_json == first.candidate_json


@pytest.mark.parametrize(
    ("folder", "program"),
    [(Predict("q -> a"), "topics"), ("topics", lambda q: q), ("topics", Predict), (None, Predict("q -> a"))],
    ids=["swapped", "function", "class", "no name"],
)
def test_what_is_no_program_or_no_folder_is_wrong_usage(tmp_path, monkeypatch, folder, program):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="takes a folder, then a program"):
        save(folder, program)

    assert list(tmp_path.iterdir()) == []


def test_a_corpus_that_no_artifact_holds_is_refused_before_a_compile_is_paid(tmp_path, monkeypatch):
    monkeypatch.setitem(LARGEST, MANIFEST, 2**20)
    corpus = ts.Corpus.of(["word " * 2**18])
    examples = [dspy.Example(question=f"word {n}").with_inputs("question") for n in range(4)]
    lm = ts.FunctionLM(lambda seen: pytest.fail("a call was made"))
    with pytest.raises(UsageError, match=r"has 1\.\d+ MiB of texts.*`corpus = corpus.save\(path\)`"):
        ts.compile(
            ts.RAG(ts.BM25(corpus)),
            metric=lambda example, prediction, trace=None: 1.0,
            trainset=examples[:2],
            valset=examples[2:],
            lm=lm,
            run=tmp_path / "run",
        )
    saved_corpus = corpus.save(tmp_path / "corpus.jsonl")
    ts.save(tmp_path / "a", ts.RAG(ts.BM25(saved_corpus)))


def test_texts_of_other_scripts_count_as_the_bytes_that_the_file_has(tmp_path, monkeypatch):
    monkeypatch.setitem(LARGEST, MANIFEST, 2**20)
    ts.save(tmp_path / "a", ts.RAG(ts.BM25({"oslo": "Осло — столица. " * 2**15})))
    assert (tmp_path / "a" / MANIFEST).stat().st_size > 2**19
