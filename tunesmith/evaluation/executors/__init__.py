"""Executors: where the examples of an evaluation run; one file each, which registers its class."""
