"""The recorded exchanges: read, rebuilt where they were shortened, sent, and compared in shape."""

import http.client
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "recordings"
_SHORT = re.compile(r"\.\.\. (\d+) ")


@dataclass
class Answer:
    """What came back; status -1 is a broken connection."""

    status: int
    content_type: str
    text: str

    @property
    def lines(self) -> list[Any]:
        """Return the JSON values in the body; without one, its text."""
        if "json" not in self.content_type:
            return [self.text]
        return [json.loads(line) for line in self.text.splitlines() if line]


@dataclass
class Recording:
    """One case; `body` is complete again where it was shortened."""

    name: str
    method: str
    path: str
    body: Any
    answer: Answer
    shortened: bool


def recordings() -> list[Recording]:
    """Return all of them, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.json"))]


def _read(path: Path) -> Recording:
    case = json.loads(path.read_text(encoding="utf-8"))
    request, response = case["request"], case["response"]
    body = _rebuilt(request.get("body"))
    answer = Answer(response["status"], response["headers"]["Content-Type"], response["text"])
    return Recording(path.stem, request["method"], request["path"], body, answer, case.get("shortened", False))


def _rebuilt(body: Any) -> Any:
    """Fill in what the description stands for: `"word " x 6000`, or so many messages in all.

    The last of the many messages is not in the recording; `Text: final` gives the recorded token count.
    """
    messages = body.get("messages", []) if isinstance(body, dict) else []
    if messages and isinstance(messages[-1], str):
        count = (int(re.findall(r"\d+", messages[-1])[0]) - 2) // 2
        question, label = messages[1]["content"], messages[2]["content"]
        return {**body, "messages": many(messages[0]["content"], question, label, count)}
    for message in messages:
        found = re.fullmatch(r'"(.*)" x (\d+)', message["content"])
        if found is not None:
            return {**body, "messages": [{**message, "content": found.group(1) * int(found.group(2))}]}
    return body


def many(system: str, question: str, label: str, count: int) -> list[dict[str, str]]:
    """Return `count` worked examples with their number in the question, and a last question."""
    messages = [{"role": "system", "content": system}]
    for number in range(count):
        messages.append({"role": "user", "content": question.replace("0", str(number))})
        messages.append({"role": "assistant", "content": label})
    return [*messages, {"role": "user", "content": "Text: final"}]


def send(port: int, method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
    """Send `body` as it was sent: a mapping as JSON, a text as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    raw = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, raw, {"Content-Type": "application/json", **(headers or {})})
        reply = connection.getresponse()
        return Answer(reply.status, reply.headers.get("Content-Type", ""), reply.read().decode())
    except (OSError, http.client.HTTPException) as error:
        return Answer(-1, "", repr(error))
    finally:
        connection.close()


def shape(value: Any, path: str = "") -> set[str]:
    """Return every key with its path and the kind of its value; the items of a list count as one."""
    if isinstance(value, dict):
        return {f"{path}.{name}" for name in value} | {
            found for name, item in value.items() for found in shape(item, f"{path}.{name}")
        }
    if isinstance(value, list):
        kept = [item for item in value if not (isinstance(item, str) and _SHORT.match(item))]
        return {found for item in kept for found in shape(item, f"{path}[]")}
    kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    return {f"{path}: {kind}"}
