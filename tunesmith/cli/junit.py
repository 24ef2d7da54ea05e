"""A check as JUnit XML, which CI systems show: one test case per gate."""

import os
import re
import stat
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tunesmith.errors import UsageError
from tunesmith.evaluation import write_atomically
from tunesmith.experiments import Gate

__all__ = ["junit_xml", "write_junit"]

# What XML 1.0 has no form for, section 2.2; messages may hold anything a model wrote.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(
    name: str,
    gates: Sequence[Gate],
    *,
    properties: Mapping[str, object],
    when: datetime,
    seconds: float,
    error: BaseException | None = None,
    text: str = "",
) -> str:
    """Return one test suite, in the shape that both Ant's and Jenkins' schema of JUnit files accept.

    A gate that does not hold is a failure; what kept the check from being made is the error of a test case `check`.

    Args:
        name: of what is checked.
        gates: the test cases.
        properties: figures by name; what is `None` is left out.
        when: the check began.
        seconds: it took.
        error: what kept it from being made.
        text: what was printed.
    """
    failed = sum(not gate.passed for gate in gates)
    root = ET.Element("testsuites")
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "id": "0",
            "package": "tunesmith",
            "name": _clean(f"tunesmith check {name}"),
            "timestamp": when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": "localhost",
            "tests": str(len(gates) + (error is not None)),
            "failures": str(failed),
            "errors": str(int(error is not None)),
            "time": f"{seconds:.3f}",
        },
    )
    known = ET.SubElement(suite, "properties")
    for key, value in properties.items():
        if value is not None:
            ET.SubElement(known, "property", {"name": key, "value": _clean(str(value))})
    for gate in gates:
        case = _case(suite, gate.name)
        if not gate.passed:
            _add(case, "failure", gate.name, gate.sentence)
    if error is not None:
        _add(_case(suite, "check"), "error", type(error).__name__, str(error) or repr(error))
    ET.SubElement(suite, "system-out").text = _clean(text)
    ET.SubElement(suite, "system-err")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def write_junit(path: Path, text: str) -> None:
    """Write `text` to `path`: a file is replaced as a whole, what a link points to likewise.

    What is there and no file, as a pipe or `/dev/stdout`, is written into.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        own, is_file = _there(path)
        if is_file:
            write_atomically(Path(os.path.realpath(path)), text)
        else:
            with open(path if own is None else own, "w", encoding="utf-8", closefd=own is None) as file:
                file.write(text)
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} cannot be written: {error.strerror}. Name another file for --junit."
        ) from error


def _there(path: Path) -> tuple[int | None, bool]:
    """Return the output of this process that `path` is, if it is one, and whether it is to be replaced as a file."""
    if not path.exists():
        return None, True
    found = path.stat()
    for stream in (1, 2):
        try:
            if os.path.samestat(found, os.fstat(stream)):
                return stream, False
        except OSError:  # closed
            continue
    return None, stat.S_ISREG(found.st_mode)


def _case(suite: ET.Element, name: str) -> ET.Element:
    # All gates are held against one evaluation, whose time is the suite's.
    return ET.SubElement(suite, "testcase", {"name": name, "classname": "tunesmith.check", "time": "0.000"})


def _add(case: ET.Element, tag: str, kind: str, message: str) -> None:
    ET.SubElement(case, tag, {"type": kind, "message": _clean(message)}).text = _clean(message)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
