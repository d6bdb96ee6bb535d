"""The line of the last minutes."""

from greentic_session.cli.live.view import History


def test_a_line_has_the_highest_value_of_each_moment() -> None:
    history = History()
    for second, value in enumerate([1.0, 5.0, 2.0, 7.0]):
        history.add(second * 50.0, value)
    assert history.line(150.0, 3) == [None, 5.0, 7.0]
    assert history.line(150.0, 6) == [None, None, 1.0, 5.0, 2.0, 7.0]
    assert history.line(350.0, 3) == [7.0, None, None]


def test_what_is_too_old_is_forgotten() -> None:
    history = History()
    for second in range(10_000):
        history.add(float(second), 1.0)
    assert len(history._values) == 300
    assert history.line(9_999.0, 60) == [1.0] * 60
    assert history.line(99_999.0, 2) == [None, None]
