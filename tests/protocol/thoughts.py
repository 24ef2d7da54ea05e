"""Splitting what a thinking model writes into thought and answer (thinking/parser.go)."""

_CLOSE = "</think>"


class ThinkParser:
    """For a prompt that ends with the opening tag: all is thought until the closing tag."""

    def __init__(self) -> None:
        self.closed = False
        self._held = ""
        self._begun = False

    def take(self, text: str) -> tuple[str, str]:
        """Return the thought and the answer in what is new; white space around the tags is dropped."""
        if self.closed:
            return "", self._answer(text)
        self._held += text
        if not self._begun:
            self._held = self._held.lstrip()
            self._begun = bool(self._held)
        thought, tag, rest = self._held.partition(_CLOSE)
        if tag:
            self.closed, self._held, self._begun = True, "", False
            return thought.rstrip(), self._answer(rest)
        kept = self._undecided()
        out, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        return out, ""

    def _answer(self, text: str) -> str:
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text

    def _undecided(self) -> int:
        """Return how many characters at the end may belong to the tag, with the white space before it."""
        at = next((n for n in range(len(_CLOSE) - 1, 0, -1) if self._held.endswith(_CLOSE[:n])), 0)
        body = self._held[: len(self._held) - at]
        return at + len(body) - len(body.rstrip())

    def rest(self) -> str:
        """Return what was held back, at the end of all."""
        out, self._held = self._held, ""
        return "" if self.closed else out
