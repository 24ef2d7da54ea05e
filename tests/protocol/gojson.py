"""JSON as Go's `encoding/json` reads and writes it, its error texts included, and Go's times and durations."""

import datetime
import json
import re
import time
from typing import Any

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029", "\x7f": "\x7f"}
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SPACE = " \t\r\n"


class GoError(Exception):
    """What Go says of bytes that it cannot decode."""


def encode(value: Any) -> str:
    """Return compact JSON; `<`, `>`, `&`, U+2028 and U+2029 are escaped, U+0085 is not."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()
    return re.sub("[<>&\u2028\u2029]", lambda found: _ESCAPES[found.group()], text)


def decode(raw: bytes) -> Any:
    """Return the first JSON value in `raw`, as `json.Decoder.Decode` does; what follows it is not read.

    Raises:
        GoError: with Go's text.
        EOFError: there is nothing but white space.
    """
    text = raw.decode("utf-8", "replace").lstrip(_SPACE)
    if not text:
        raise EOFError
    Scanner(text).value()
    return json.JSONDecoder(strict=False).raw_decode(text)[0]


class Scanner:
    """Finds the first fault in a JSON text, in the order in which Go's scanner does."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def value(self) -> None:
        char = self._next()
        if char == "{":
            self._object()
        elif char == "[":
            self._array()
        elif char == '"':
            self._string()
        elif char in "tfn":
            self._literal({"t": "true", "f": "false", "n": "null"}[char])
        elif char in "-0123456789":
            self._number()
        else:
            self._fail("looking for beginning of value")

    def _object(self) -> None:
        self.at += 1
        if self._next() == "}":
            self.at += 1
            return
        while True:
            if self._next() != '"':
                self._fail("looking for beginning of object key string")
            self._string()
            if self._next() != ":":
                self._fail("after object key")
            self.at += 1
            self.value()
            if self._next() not in ",}":
                self._fail("after object key:value pair")
            self.at += 1
            if self.text[self.at - 1] == "}":
                return

    def _array(self) -> None:
        self.at += 1
        if self._next() == "]":
            self.at += 1
            return
        while True:
            self.value()
            if self._next() not in ",]":
                self._fail("after array element")
            self.at += 1
            if self.text[self.at - 1] == "]":
                return

    def _string(self) -> None:
        self.at += 1
        while (char := self._here()) != '"':
            if char < " ":
                self._fail("in string literal")
            self.at += 1
            if char == "\\":
                if self._here() not in '"\\/bfnrtu':
                    self._fail("in string escape code")
                self.at += 1
        self.at += 1

    def _literal(self, word: str) -> None:
        for expected in word:
            if self._here() != expected:
                self._fail(f"in literal {word} (expecting {_quoted(expected)})")
            self.at += 1

    def _number(self) -> None:
        found = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?").match(self.text, self.at)
        if found is None:
            self.at += 1
            self._here()
            self._fail("in numeric literal")
        else:
            self.at = found.end()
            if self.at < len(self.text) and self.text[self.at] in ".eE":
                self.at += 1
                self._here()
                self._fail("after decimal point in numeric literal")

    def _next(self) -> str:
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1
        return self._here()

    def _here(self) -> str:
        if self.at >= len(self.text):
            raise GoError("unexpected EOF")
        return self.text[self.at]

    def _fail(self, where: str) -> None:
        raise GoError(f"invalid character {_quoted(self.text[self.at])} {where}")


def _quoted(char: str) -> str:
    return {"'": "'\\''", '"': "'\"'"}.get(char, "'" + json.dumps(char, ensure_ascii=False)[1:-1] + "'")


def parse_duration(text: str) -> int:
    """Return nanoseconds, as `time.ParseDuration` reads them: `5m`, `1h30m`, `-1s`, `0`.

    Raises:
        GoError: with Go's text.
    """
    body = text[1:] if text[:1] in "+-" and text else text
    sign = -1 if text.startswith("-") else 1
    if body == "0":
        return 0
    if not re.match(r"^[0-9.]", body):
        raise GoError(f'time: invalid duration "{text}"')
    total = 0.0
    while body:
        found = re.match(r"^([0-9]*\.?[0-9]*)([^0-9.]*)", body)
        assert found is not None
        number, unit = found.groups()
        if number in ("", "."):
            raise GoError(f'time: invalid duration "{text}"')
        if unit == "":
            raise GoError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise GoError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _UNITS[unit]
        body = body[found.end() :]
    return sign * int(total)


def now(offset: float = 0.0) -> str:
    """Return the time, `offset` seconds from now, in RFC 3339 with nanoseconds and without trailing zeros."""
    nanoseconds = time.time_ns() + int(offset * 10**9)
    return timestamp(nanoseconds)


def timestamp(nanoseconds: int) -> str:
    """Return POSIX nanoseconds in RFC 3339 (`time.RFC3339Nano`, UTC)."""
    seconds, rest = divmod(nanoseconds, 10**9)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{moment}{fraction}Z"
