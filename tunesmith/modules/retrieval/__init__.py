"""Search in texts: by words, by the vectors of a model, or by both, behind one protocol."""

from typing import TYPE_CHECKING

from tunesmith.lazy import lazy_package

if TYPE_CHECKING:
    from tunesmith.modules.retrieval.bm25 import BM25
    from tunesmith.modules.retrieval.chunking import Chunking
    from tunesmith.modules.retrieval.compress import Compress
    from tunesmith.modules.retrieval.corpus import Corpus
    from tunesmith.modules.retrieval.dedupe import Dedupe
    from tunesmith.modules.retrieval.fuse import Fuse
    from tunesmith.modules.retrieval.fusion import fused
    from tunesmith.modules.retrieval.generate import Generate
    from tunesmith.modules.retrieval.hybrid import Hybrid
    from tunesmith.modules.retrieval.iterate import Iterate
    from tunesmith.modules.retrieval.passage import Passage, Retriever, as_retriever
    from tunesmith.modules.retrieval.pgvector import PgVector
    from tunesmith.modules.retrieval.queries import Expand, HyDE, RewriteQuery, StepBack
    from tunesmith.modules.retrieval.rag import RAG
    from tunesmith.modules.retrieval.recall import Recall
    from tunesmith.modules.retrieval.rerank import Rerank
    from tunesmith.modules.retrieval.retrieve import Retrieve
    from tunesmith.modules.retrieval.route import Route
    from tunesmith.modules.retrieval.vector_index import VectorIndex
    from tunesmith.modules.retrieval.vectors import Vectors
    from tunesmith.modules.retrieval.word_index import WordIndex
    from tunesmith.modules.retrieval.words import words_of
else:
    __getattr__ = lazy_package(__name__)

__all__ = [
    "as_retriever",
    "BM25",
    "Chunking",
    "Compress",
    "Corpus",
    "Dedupe",
    "Expand",
    "Fuse",
    "fused",
    "Generate",
    "Hybrid",
    "HyDE",
    "Iterate",
    "Passage",
    "PgVector",
    "RAG",
    "Recall",
    "Rerank",
    "Retrieve",
    "Retriever",
    "RewriteQuery",
    "Route",
    "StepBack",
    "VectorIndex",
    "Vectors",
    "WordIndex",
    "words_of",
]
