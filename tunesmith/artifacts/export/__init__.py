"""Exports of an artifact or a program for other tools: one file per target, which registers what it defines."""
