"""`python -m tests.compilers.write_options`: write the table of options into `docs/compilers.md`."""

from pathlib import Path

from tunesmith.compilers import options_text

PAGE = Path(__file__).parents[2] / "docs" / "compilers.md"
MARK = "<!-- options -->\n\n"

if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text(encoding="utf-8").partition(MARK)[0] + MARK + options_text(), encoding="utf-8")
