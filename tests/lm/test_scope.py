"""`remembering`: a model without a cache is not asked the same twice, if log-probabilities are wanted."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from tests.each import each
from tunesmith.lm import FunctionLM, Meter, metered, remembering


@each(
    ("options", "paid"),
    [
        ({"logprobs": True}, 1),
        ({}, 2),  # an ordinary call asks again, as without a compile
        ({"logprobs": True, "temperature": 0.7}, 2),  # a draw
    ],
)
def test_only_replies_with_log_probabilities_at_temperature_0_are_kept(options: dict[str, object], paid: int) -> None:
    lm, meter = FunctionLM(lambda seen: "x", **options), Meter()
    with metered(meter), remembering():
        first, second = lm("Say x."), lm("Say x.")

    assert first == second
    assert len(lm.requests) == meter.paid.calls == paid
    assert meter.charged.calls == 1, "the same request is charged once"


def test_another_request_is_asked_and_nothing_is_kept_afterwards() -> None:
    lm = FunctionLM(lambda seen: "x", logprobs=True)
    with remembering():
        lm("Say x.")
        lm("Say y.")
        with remembering():
            lm("Say x.")
    lm("Say x.")

    assert len(lm.requests) == 3


def test_threads_with_the_context_share_what_is_kept() -> None:
    lm = FunctionLM(lambda seen: "x", logprobs=True)
    with remembering(), ThreadPoolExecutor(2) as pool:
        lm("Say x.")
        for found in [pool.submit(copy_context().run, lm, "Say x.") for _ in range(4)]:
            found.result()

    assert len(lm.requests) == 1
