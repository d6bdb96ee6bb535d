"""Snapshots that carry values of a type: what comes back, what is refused, and how it is named."""

import dataclasses
import enum
import math
from typing import Any, Literal

import msgspec
import pytest
from samples.models import DATA, data

from greentic_session import InvalidInputError, SessionData


# The snapshot.
class Color(enum.Enum):
    RED = "red"


class Order(msgspec.Struct):
    item: str
    count: int = 1


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    tricks: int


class Picky(msgspec.Struct):
    value: str

    def __post_init__(self) -> None:
        raise ValueError(f"no such value: {self.value}")


@dataclasses.dataclass
class Point:
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (Order("tea", 2), Order),
        (Point(1, 2), Point),
        ({"a": [1, None, True]}, dict),
        ({"a": 1}, dict[str, int]),
        ([1.5, "x"], Any),
        (Color.RED, Color),
        (Dog(3), Cat | Dog),
        (None, None),
        ("\u00e9\U0001f600\x00", str),
        ((1, 2), tuple[int, int]),
        ({1: "a", 2: "b"}, dict[int, str]),
    ],
    ids=str,
)
def test_a_typed_snapshot_comes_back(value: Any, type_: Any) -> None:
    changed = DATA.new_context(value)
    assert changed.context(type_) == value
    assert SessionData.from_json(changed.to_json()).context(type_) == value
    assert DATA.context_json == "{}"
    assert (changed.tenant_ctx, changed.flow_id, changed.cursor) == (DATA.tenant_ctx, DATA.flow_id, DATA.cursor)


def test_without_a_type_a_snapshot_is_plain_values() -> None:
    assert DATA.new_context(Order("tea")).context() == {"item": "tea", "count": 1}
    assert DATA.new_context({"n": None, "m": 1.5e300}).context() == {"n": None, "m": 1.5e300}


@pytest.mark.parametrize(
    ("snapshot", "type_"),
    [
        ('{"item":"s3cret","count":"s3cret"}', Order),
        ('"s3cret"', Color),
        ('{"type":"s3cret"}', Cat | Dog),
        ('{"value":"s3cret"}', Picky),
        ('"s3cret"', Literal["a", "b"]),
        ('{"s3cret":"x"}', dict[str, int]),
        ('"s3cret"', int),
        ("s3cret", Any),
        ("", Any),
        ('{"a":1} s3cret', dict),
        ('"\ud800 s3cret"', str),
    ],
    ids=ascii,
)
def test_a_snapshot_of_another_type(snapshot: str, type_: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^not a snapshot") as caught:
        data(context_json=snapshot).context(type_)
    assert "s3cret" not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("value", [object(), {"a": object()}, len, 1j, Order])
def test_what_cannot_be_written(value: Any) -> None:
    with pytest.raises(TypeError):
        DATA.new_context(value)


class Price(msgspec.Struct, omit_defaults=True, rename="camel"):
    net_price: float = math.nan
    lines: tuple[Any, ...] = ()


class Level(enum.Enum):
    NONE = math.nan


@dataclasses.dataclass
class Basket:
    prices: list[Price]


def refusal_of(value: Any, kind: type[Exception]) -> str:
    """Return the message of the error with which a value is refused as a snapshot."""
    with pytest.raises(kind) as caught:
        DATA.new_context(value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"order": {"lines": [1, {"price": object()}]}}, "$.order.lines[1].price is of type object"),
        (Basket([Price(1, (2, 1j))]), "$.prices[0].lines[1] is of type complex"),
        ({"a": {("s3cret",): 1}}, "$.a has a key of type tuple"),
        ({"s3cret@example.com": object()}, "$[...] is of type object"),
        (len, "$ is of type builtin_function_or_method"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_field_that_cannot_be_written_is_named(value: Any, told: str) -> None:
    assert refusal_of(value, TypeError) == f"the snapshot cannot be written as JSON: {told}"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (math.nan, "$ is not a finite number"),
        ({"order": [{"score": math.inf, "note": None}]}, "$.order[0].score is not a finite number"),
        (Basket([Price(), Price(-math.inf)]), "$.prices[1].netPrice is not a finite number"),
        ({"level": Level.NONE}, "$.level is not a finite number"),
        ({"a": {1: "a", "1": "s3cret"}}, "$.a has two keys that are written alike"),
        ({"a": ({1.5: 1, "1.5": 1},)}, "$.a[0] has two keys that are written alike"),
        ({"s3cret@example.com": math.nan}, "$[...] is not a finite number"),
        ({"a": msgspec.Raw(b" 1 "), "b": float("nan")}, "$.b is not a finite number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_be_read_as_something_else_is_refused_and_named(value: Any, told: str) -> None:
    assert refusal_of(value, InvalidInputError) == f"the snapshot cannot be written as JSON: {told}"


@pytest.mark.parametrize(
    "value",
    [
        None,
        [None],
        {"a": None, "b": "null"},
        {1: "a", 2: "b"},
        Price(),
        Basket([Price(), Price(1.0, (None,))]),
        10**30,
        1e-7,
    ],
    ids=repr,
)
def test_what_is_read_as_what_it_was_is_written(value: Any) -> None:
    text = DATA.new_context(value).context_json
    assert text.encode() == msgspec.json.encode(value)


@pytest.mark.parametrize(
    ("snapshot", "type_", "told"),
    [
        ("", Any, "not a snapshot, it is empty: Input data was truncated"),
        ("s3cret", Any, "not a snapshot in JSON: JSON is malformed: invalid character (byte 0)"),
        ('{"netPrice":"s3cret"}', Price, "not a snapshot of type Price, by what it has at $.netPrice"),
        ('["s3cret"]', Price, "not a snapshot of type Price"),
        ('{"s3cret":[1]}', dict[str, int], "not a snapshot of type dict, by what it has at $[...]"),
    ],
)
def test_a_snapshot_that_cannot_be_read_says_why(snapshot: str, type_: Any, told: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        data(context_json=snapshot).context(type_)
    assert str(caught.value) == told


def test_a_snapshot_that_holds_itself() -> None:
    circle: list[Any] = []
    circle.append(circle)
    tangle: dict[str, Any] = {}
    tangle["a"] = [tangle]
    for value in (circle, tangle):
        with pytest.raises(InvalidInputError, match=r"^the snapshot is nested too deeply, or holds itself$") as caught:
            DATA.new_context(value)
        assert isinstance(caught.value.__cause__, RecursionError)


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, [{"a": "s3cret \ud800"}]], ids=ascii)
def test_a_snapshot_with_a_lone_surrogate(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^the snapshot must be valid Unicode") as caught:
        DATA.new_context(value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("value", [10**5000, msgspec.Raw(b"\xff")], ids=["digits", "raw"])
def test_a_snapshot_that_json_cannot_carry(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^the snapshot "):
        DATA.new_context(value)


@pytest.mark.parametrize("text", [b"NaN", b"{", b"1 1", b"s3cret"], ids=repr)
def test_a_raw_text_that_is_no_json_is_refused_when_it_is_written(text: bytes) -> None:
    for value in (msgspec.Raw(text), {"a": [msgspec.Raw(text)]}):
        with pytest.raises(
            InvalidInputError, match=r"^the snapshot cannot be written as JSON: a msgspec\.Raw in it is none$"
        ):
            DATA.new_context(value)


def test_a_snapshot_too_deep_to_read_is_refused_and_never_cut_off() -> None:
    deep = "[" * 100_000 + "1" + "]" * 100_000
    with pytest.raises(InvalidInputError, match=r"^not a snapshot in JSON: it is nested too deeply$"):
        data(context_json=deep).context()
    assert SessionData.from_json(data(context_json=deep).to_json()).context_json == deep
