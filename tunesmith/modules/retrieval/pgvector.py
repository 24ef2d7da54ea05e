"""`PgVector`: a search in a table of PostgreSQL with pgvector."""

import math
from collections.abc import Callable
from contextlib import closing
from typing import Any

from tunesmith.errors import DataError, UsageError, shown
from tunesmith.lazy import lazy_pattern
from tunesmith.lm import lm
from tunesmith.modules.retrieval.passage import Passage, Retriever
from tunesmith.modules.retrieval.vector_index import embedding_function, unit_vectors

__all__ = ["PgVector"]

_NAME = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?")


class PgVector(Retriever):
    """Finds the rows of a table whose vectors have the smallest angle to that of a query, by pgvector's `<=>`.

    The table is yours; it is only read. An index of pgvector for `vector_cosine_ops` is used if there is one, and may
    miss some of the nearest. Rows without a vector, or with one of zeros, are never found. The score is the cosine. An
    artifact holds no connection: pass the program to `ts.load(..., program=...)`.

    Args:
        connect: opens a connection, as in `lambda: psycopg.connect("dbname=docs")`; each search opens one and closes
            it. Any driver of Python's DB-API with `%s` for parameters fits, such as psycopg and pg8000.
        table: name of the table, also `schema.table`.
        embed: gives the vector of a query: a model, its name, or a function, as in `ts.Vectors`. It must be the one
            that made the vectors of the table.
        text: the column with the passage.
        vector: the column with its vector.
        id: the column with its key.
        source: the column that says where it comes from, `None` without one.
        min_score: least cosine of a passage that is found.

    Raises:
        UsageError: an argument cannot be used, or the model gives no vectors.
        DataError: in a search, if the database cannot be read.
        ModelError: in a search, if the function returned no vector.

    Example:
        >>> import tunesmith as ts
        >>> def connect():
        ...     import psycopg
        ...     return psycopg.connect("dbname=docs")
        >>> search = ts.PgVector(connect, "passages", embed=lambda texts: [[1.0, 0.0]] * len(texts))
        >>> search.query.partition(" ORDER BY ")[2]
        '"embedding" <=> %s::vector LIMIT %s'
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        table: str,
        embed: Any,
        *,
        text: str = "text",
        vector: str = "embedding",
        id: str = "id",  # noqa: A002 - the name of the attribute of a passage
        source: str | None = None,
        min_score: float = -1.0,
    ) -> None:
        super().__init__()
        if not callable(connect):
            raise UsageError(
                "`connect` must be a function that opens a connection, as in `lambda: psycopg.connect(...)`. "
                f"Given: {shown(connect)}."
            )
        self.connect, self.min_score = connect, float(min_score)
        self._embed = embedding_function(lm(embed) if isinstance(embed, str) else embed)
        near = f"{_quoted(vector, 'vector')} <=> %s::vector"
        columns = [_quoted(id, "id"), _quoted(text, "text"), "NULL" if source is None else _quoted(source, "source")]
        self.query = (
            f"SELECT {', '.join(columns)}, 1 - ({near}) FROM {_quoted(table, 'table', schema=True)} "
            f"ORDER BY {near} LIMIT %s"
        )

    def search(self, query: str, k: int) -> list[Passage]:
        """Return up to `k` passages, the best first, ties by id."""
        (row,) = unit_vectors(self._embed, [query])
        if not row.any():
            return []
        found = [
            Passage(str(text), float(score), str(key), "" if source is None else str(source))
            for key, text, source, score in self._rows(f"[{','.join(map(str, row.tolist()))}]", k)
            if text is not None and score is not None and not math.isnan(score) and score >= self.min_score
        ]
        return sorted(found, key=lambda passage: (-passage.score, passage.id))

    def _rows(self, vector: str, k: int) -> list[Any]:
        try:
            with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(self.query, (vector, vector, k))
                return list(cursor.fetchall())
        except Exception as error:  # each driver has errors of its own
            raise DataError(
                f"The database cannot be searched: {str(error).strip() or repr(error)}. The query was: {self.query}"
            ) from error


def _quoted(name: object, argument: str, *, schema: bool = False) -> str:
    """Return a name of SQL in quotes: a name cannot be a parameter of a query."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None or ("." in name and not schema):
        raise UsageError(
            f"`{argument}` must be a name of letters, digits and `_`{', perhaps with its schema' if schema else ''}. "
            f"Given: {shown(name)}."
        )
    return ".".join(f'"{part}"' for part in name.split("."))
