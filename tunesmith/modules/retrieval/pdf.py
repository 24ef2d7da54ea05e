"""The pages of a PDF file; the door to pypdf."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.errors import DataError, UsageError

__all__ = ["pdf_pages"]


def pdf_pages(path: Path) -> Iterator[str]:
    """Yield the text of each page. A page that is a picture has none.

    Raises:
        UsageError: the extra `pdf` is not installed.
        DataError: the file is no PDF, is damaged, or needs a password.
    """
    try:
        import pypdf
    except ImportError as error:
        raise UsageError(f"`{path}` needs the `pdf` extra. Install it: pip install 'tunesmith[pdf]'.") from error
    pages: Any
    try:
        pages = list(pypdf.PdfReader(str(path)).pages)
        texts = [page.extract_text() for page in pages]
    except Exception as error:  # pypdf raises errors of many kinds
        raise DataError(f"`{path}` cannot be read as a PDF file: {error}.") from error
    yield from texts
