"""Modules that act: tools, steps, memory, and several that talk."""
