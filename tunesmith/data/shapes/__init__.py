"""The shapes of data files that `tunesmith data convert` reads: one file per shape, which registers what it defines."""
