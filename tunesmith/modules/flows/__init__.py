"""Modules made of modules: one after another, at once, for each item, or by choice."""
