"""The command line: `tunesmith VERB`."""

from tunesmith.cli.application import main

__all__ = ["main"]
