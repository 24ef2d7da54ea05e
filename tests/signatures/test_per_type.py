"""What is made of a type is made once, and types that only look equal are told apart."""

from typing import Annotated, Any, Literal

from tunesmith.signatures.per_type import per_type


def test_a_type_is_made_once() -> None:
    made: list[Any] = []
    make = per_type(lambda kind: made.append(kind) or len(made))

    assert [make(int), make(str), make(int)] == [1, 2, 1]


def test_the_order_of_labels_counts() -> None:
    make = per_type(lambda kind: kind.__args__)

    assert make(Literal["a", "b"]) == ("a", "b")
    assert make(Literal["b", "a"]) == ("b", "a")


def test_a_type_with_unhashable_metadata_is_made_each_time() -> None:
    made: list[Any] = []
    make = per_type(lambda kind: made.append(kind) or len(made))
    kind = Annotated[int, {"a": 1}]

    assert [make(kind), make(kind)] == [1, 2]
