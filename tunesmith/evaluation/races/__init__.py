"""One file per family of races."""
