"""`python -m tests.artifacts.write_schema`: write the JSON Schema of `manifest.json` into `docs/manifest.schema.json`."""

import json
from pathlib import Path

from tunesmith.artifacts.schema import manifest_schema

PAGE = Path(__file__).parents[2] / "docs" / "manifest.schema.json"


def published() -> str:
    """Return the text of the file."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**dialect, **manifest_schema()}, indent=2) + "\n"


if __name__ == "__main__":
    PAGE.write_text(published(), encoding="utf-8")
