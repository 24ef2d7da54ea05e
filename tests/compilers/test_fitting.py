"""A candidate whose prompts cannot fit the context is never paid for."""

from typing import Any

import dspy

from tests.compilers.worlds import TRAIN, VAL, Colour, Steps, right, things, world
from tunesmith.compilers import LabeledFewShot, RandomSearch, Search, job_of
from tunesmith.lm import Capabilities, Identity, Seen, build_lm
from tunesmith.lm.doubles import FunctionEngine
from tunesmith.modules import Candidate
from tunesmith.signatures import Demo

LONG = things(500)[0].copy(thing="thing 500 " + "with a long description " * 40)
WORDY = tuple(Demo({"thing": f"thing {n} " + "of many words " * 50}, {"colour": "red"}) for n in range(12))


def model(room: int | None) -> Any:
    """Return a double with a context of `room` tokens, which are words, as it counts them."""
    details = () if room is None else (("num_ctx", str(room)),)
    engine = FunctionEngine(world(), Identity("double", "m", "1", details), Capabilities(frozenset({"json_schema"})))
    lm = build_lm("m", engine)
    lm.requests = engine.requests
    return lm


def search_of(room: int | None, *, program: Any = None, **options: Any) -> Search:
    given = {"trainset": TRAIN, "valset": [*VAL, LONG], "lm": model(room), **options}
    return Search(job_of(dspy.Predict(Colour) if program is None else program, RandomSearch(metric=right), **given))


def with_demos(count: int, given: Candidate, path: str = "self") -> Candidate:
    return given.with_part(path, demos=WORDY[:count])


def test_what_fits_is_evaluated_and_what_does_not_is_counted_in_a_note() -> None:
    search = search_of(900)
    search.score(search.base)
    asked = len(search.job.lm.requests)
    small, large = with_demos(2, search.base), with_demos(12, search.base)

    assert search.race([small, large]) == [small]
    assert search.score(large).n == search.seen(large) == 0
    assert search.minibatch(large, 3) == []
    assert len(search.job.lm.requests) == asked + search.size
    (note,) = [note for note in search.finish().notes if "cannot fit" in note]
    assert note.startswith("1 candidates were not evaluated")
    assert "the prompt of `self` for the longest validation example has about" in note
    assert "and the context has 900 for it and its reply" in note


def test_tokens_are_estimated_by_what_the_engine_counted_for_the_program_as_given() -> None:
    counted, not_yet, too_small = search_of(1650), search_of(1650), search_of(1250)
    given = with_demos(10, counted.base)  # 1,700 words, 8,200 bytes
    for search in (counted, too_small):
        search.score(search.base)

    assert counted.score(given).n == len(VAL) + 1, "within a tenth it is tried"
    assert not_yet.score(given).n == 0, "four bytes are taken for a token"
    assert too_small.score(given).n == 0


def test_an_engine_that_counts_prompts_is_asked_and_nothing_is_sent() -> None:
    search = search_of(1000)
    engine = search.job.lm._stack.engine
    for counted, n in ((998, search.size), (1001, 0)):
        engine.count_tokens = lambda request, counted=counted: counted
        assert search.job.lm.count_tokens(engine) == counted
        assert search.score(with_demos(10 + n % 2, search.base)).n == n
    (note,) = [note for note in search.finish().notes if "cannot fit" in note]
    assert "has 1,001 tokens, and the context has 1,000" in note


def test_an_unknown_context_stops_nothing_and_renders_nothing() -> None:
    search = search_of(None)
    assert search.score(with_demos(12, search.base)).n == search.size


def test_each_predictor_of_a_program_is_looked_at_with_the_inputs_that_are_known() -> None:
    search = search_of(900, program=Steps())
    assert search.score(with_demos(12, search.base, "answer")).n == 0
    assert search.score(with_demos(2, search.base, "answer")).n == search.size


def test_a_compiler_goes_on_with_what_fits() -> None:
    long = [example.copy(thing=f"{example.thing} " + "of many words " * 40) for example in TRAIN]
    for compiler in (LabeledFewShot(16, metric=right), RandomSearch(metric=right, num_candidates=4)):
        with dspy.context(lm=model(700)):
            program = compiler.compile(dspy.Predict(Colour), trainset=long, valset=VAL)
        assert any("cannot fit" in note for note in program.compile_notes)
        assert all(len(trial.candidate.parts["self"].demos) < 16 for trial in program.compile_report.trials)


def test_a_model_says_its_context_if_it_is_known() -> None:
    def reply(seen: Seen) -> str:
        return ""

    assert model(900).context_tokens == 900
    assert model(None).context_tokens is None
    assert build_lm("m", FunctionEngine(reply, Identity("b", "m"), Capabilities())).context_tokens is None
