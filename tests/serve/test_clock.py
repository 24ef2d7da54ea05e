import asyncio

from tunesmith.serve.clock import after


def test_timers_ring_in_their_time_and_not_after_they_were_cancelled() -> None:
    rung: list[str] = []

    async def whole() -> None:
        after(0.0, lambda: rung.append("soon"))
        late = after(0.05, lambda: rung.append("late"))
        cancelled = after(0.01, lambda: rung.append("never"))
        cancelled.cancel()
        await asyncio.sleep(0.03)
        assert (rung, late.over) == (["soon"], False)
        await asyncio.sleep(0.06)
        assert (rung, late.over) == (["soon", "late"], True)

    for _ in range(2):  # each loop has timers of its own
        rung.clear()
        asyncio.run(whole())


def test_a_timer_that_rings_may_cancel_another() -> None:
    rung: list[str] = []

    async def whole() -> None:
        timers = [after(0, lambda: (rung.append("first"), timers[1].cancel())), after(0, lambda: rung.append("second"))]
        await asyncio.sleep(0.05)

    asyncio.run(whole())
    assert rung == ["first"]
