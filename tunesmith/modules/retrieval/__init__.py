"""Search in texts: by words (`Bm25`, `words_of`) or by the vectors of a model (`Vectors`)."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.modules.retrieval.bm25 import Bm25
    from tunesmith.modules.retrieval.vectors import Vectors
    from tunesmith.modules.retrieval.words import words_of
else:
    __getattr__ = lazy_package(__name__)

__all__ = ["Bm25", "Vectors", "words_of"]
