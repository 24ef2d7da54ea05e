"""Engines: one file or package per server; each answers `Request`s."""
