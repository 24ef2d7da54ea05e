"""VectorIndex of a model find what is near, and each text is embedded once."""

from typing import Any

import pytest

from tests.each import each
from tunesmith.errors import UsageError
from tunesmith.lm import Capabilities, Identity, build_lm
from tunesmith.modules.retrieval import VectorIndex

PLACES = {"north": [0.0, 2.0], "east": [1.0, 0.0], "far east": [9.0, 0.0], "west": [-1.0, 0.0], "nowhere": [0.0, 0.0]}


class Compass:
    """An engine whose vectors are known; `asked` has the texts that it was given."""

    identity, capabilities = Identity("test", "compass"), Capabilities(embeddings=True)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: list[str]) -> list[list[float]]:
        self.asked += texts
        return [PLACES[text] for text in texts]


def model(name: str) -> tuple[Any, list[str]]:
    """Return a model and what its engine is asked; vectors are shared by the name of a model."""
    engine: Any = Compass()
    return build_lm(name, engine), engine.asked


def positions(query: str, k: int = 9, **options: Any) -> list[int]:
    lm, _ = model("one")
    return [position for position, _ in VectorIndex(list(PLACES), lm).search(query, k, **options)]


def test_the_smallest_angle_comes_first_and_ties_by_position() -> None:
    assert positions("east") == [1, 2, 0, 3]
    assert positions("east", 1) == [1]
    assert positions("east", 2, skip=lambda position: position == 1) == [2, 0]
    assert positions("east", 0) == positions("") == []


def test_each_text_is_embedded_once_and_an_empty_one_never() -> None:
    lm, asked = model("two")
    texts = ["north", "", "east"]
    for _ in range(2):
        assert [position for position, _ in VectorIndex(texts, lm).search("east", 9)] == [2, 0]
    assert asked == ["north", "east", "east", "east"]
    assert VectorIndex(["", ""], lm).search("east", 9) == VectorIndex([], lm).search("east", 9) == []


@each("lm", [None, "embedded", object()])
def test_what_gives_no_vectors_is_refused(lm: object) -> None:
    with pytest.raises(UsageError, match="needs a model that gives vectors"):
        VectorIndex(["a"], lm)
