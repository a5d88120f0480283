"""Records behave as dataclasses do, whatever is put off or shared."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, fields, replace

import pytest

from vpndiag.records import record


@record(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0
    marks: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Plain:
    x: int
    y: int = 0
    marks: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default="", repr=False)


@record(frozen=True, slots=True, kw_only=True)
class Named(Point):
    name: str
    color: str = "red"


@record(slots=True)
class Counter:
    count: int = 0
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2 * self.count


@record(frozen=True, slots=True)
class Single:
    value: float


@record(frozen=True, slots=True)
class Nothing:
    pass


@record(frozen=True, slots=True)
class Own:
    value: str

    def __repr__(self) -> str:
        return "Own(***)"


def test_fields_are_given_by_place_or_by_name_and_have_defaults() -> None:
    assert (Point(1).x, Point(1).y, Point(x=1, y=2).y) == (1, 0, 2)
    named = Named(1, 2, name="a")
    assert (named.x, named.y, named.name, named.color) == (1, 2, "a", "red")


def test_every_value_gets_a_list_of_its_own() -> None:
    one, two = Point(1), Point(1)
    one.marks.append("seen")
    assert two.marks == []


@pytest.mark.parametrize("given", [{}, {"x": 1, "z": 2}])
def test_a_field_that_is_missing_or_unknown_is_an_error(given: dict[str, int]) -> None:
    for _ in range(2):  # before and after the first value was made
        with pytest.raises(TypeError):
            Point(**given)
        Point(1)


def test_fields_that_are_by_name_alone_are_not_taken_by_place() -> None:
    with pytest.raises(TypeError):
        Named(1, 2, [], "", "a")  # type: ignore[call-arg, misc]


def test_values_are_compared_and_hashed_as_those_of_a_dataclass() -> None:
    for made in (Point, Plain):
        assert made(1, 2) == made(1, 2, ["not compared"])
        assert made(1, 2) != made(2, 1)
        assert made(1) != 1
        assert len({made(1, 2), made(1, 2), made(1, 3)}) == 2
    assert Point(1) != Named(1, name="a")
    assert Single(1.5) == Single(1.5) != Single(2.5)
    assert hash(Nothing()) == hash(Nothing()) and Nothing() == Nothing()


def test_what_is_not_frozen_has_no_hash() -> None:
    assert Counter(1) == Counter(1)
    with pytest.raises(TypeError):
        hash(Counter(1))


def test_they_are_shown_as_a_dataclass_is_without_what_is_hidden() -> None:
    assert repr(Point(1, 2, ["a"], "key")) == "Point(x=1, y=2, marks=['a'])"
    assert repr(Plain(1, 2, ["a"], "key")).removeprefix("Plain") == "(x=1, y=2, marks=['a'])"
    assert repr(Single(1.5)) == "Single(value=1.5)"
    assert repr(Own("key")) == "Own(***)"


def test_what_follows_init_is_done() -> None:
    assert Counter(4).twice == 8


def test_the_tools_for_dataclasses_take_them() -> None:
    assert replace(Named(1, name="a"), y=3) == Named(1, 3, name="a")
    assert [f.name for f in fields(Named)] == ["x", "y", "marks", "secret", "name", "color"]
    assert pickle.loads(pickle.dumps(Named(1, name="a"))) == Named(1, name="a")
    assert not hasattr(Point(1), "__dict__")
