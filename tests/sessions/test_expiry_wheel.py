"""The wheel against a plain list: nothing is taken early, and all of it in time."""

from hypothesis import given
from hypothesis import strategies as st

from greentic_session._expiry.wheel import ExpiryWheel

lifetimes = st.floats(1e-3, 1e6) | st.floats(1e-3, 2**52 / 1000)
steps = st.lists(st.tuples(lifetimes, st.floats(0, 1e5), st.booleans()), max_size=60)


@given(steps)
def test_entries_are_taken_when_they_have_ended_and_not_much_later(plan: list[tuple[float, float, bool]]) -> None:
    wheel: ExpiryWheel[int] = ExpiryWheel()
    now = 5.0
    ends: dict[int, tuple[float, float]] = {}  # when each ends, and by when it must be taken
    for number, (lifetime, pause, discard) in enumerate(plan):
        bucket = wheel.add(number, now, now + lifetime)
        if discard:
            bucket.discard(number)
        else:
            ends[number] = (now + lifetime, now + lifetime + max(lifetime / 64, 1 / 64))
        now += pause
        while (taken := wheel.take_due(now)) is not None:
            assert ends.pop(taken)[0] <= now
        # A float of this size is exact to a fraction of a microsecond only.
        assert all(by >= now * (1 - 1e-12) for _, by in ends.values())
    assert wheel.next_due > now


def test_nothing_filed_nothing_due() -> None:
    wheel: ExpiryWheel[str] = ExpiryWheel()
    assert wheel.take_due(1e9) is None
    wheel.add("a", 0.0, 10.0)
    assert wheel.next_due >= 10.0
    wheel.clear()
    assert wheel.take_due(1e9) is None
    assert wheel.next_due == float("inf")


def test_the_buckets_are_few_whatever_is_filed() -> None:
    wheel: ExpiryWheel[int] = ExpiryWheel()
    for number in range(100_000):
        wheel.add(number, 0.0, 0.001 + number * 6.048)  # up to a week, evenly
    assert len(wheel._buckets) < 3000
