"""Write a check as JUnit XML for CI systems: one test case per gate."""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tunesmith.atomic import write_atomically
from tunesmith.errors import UsageError
from tunesmith.experiments import Gate

__all__ = ["check_writable", "junit_xml", "write_junit"]

# Characters that XML 1.0 excludes, section 2.2; messages may contain any text of a model.
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
    """Return one test suite that is valid for the JUnit schemas of Ant and Jenkins.

    A failed gate is a failure. An error of the check itself is the error of a test case `check`.

    Args:
        name: the name of the suite.
        gates: the test cases.
        properties: values by name; `None` is omitted.
        when: the start of the check.
        seconds: its duration.
        error: the error of the check itself, if any.
        text: the printed text.
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


def check_writable(path: Path) -> None:
    """Check, before the work begins, that `write_junit` can write to `path`.

    Raises:
        UsageError: it cannot.
    """
    folder, there = Path(os.path.realpath(path)).parent, path.exists()
    if not folder.is_dir():
        raise UsageError(f"The folder {str(path.parent)!r} of --junit does not exist. Create it, or name another file.")
    if path.is_dir():
        raise UsageError(f"--junit names the folder {str(path)!r}. Name a file, such as {str(path / 'check.xml')!r}.")
    if not os.access(folder if not there or path.is_file() else path, os.W_OK):
        what = str(path) if there and not path.is_file() else str(folder)
        raise UsageError(f"{what!r} cannot be written. Name another file for --junit.")


def write_junit(path: Path, text: str) -> None:
    """Write `text` to `path`, as `write_atomically`; of a link to a file, to its target.

    Raises:
        UsageError: `path` cannot be written.
    """
    target = path if path.exists() and not path.is_file() else Path(os.path.realpath(path))
    try:
        write_atomically(target, text)
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} cannot be written: {error.strerror}. Name another file for --junit."
        ) from error


def _case(suite: ET.Element, name: str) -> ET.Element:
    # All gates share one evaluation, whose time belongs to the suite.
    return ET.SubElement(suite, "testcase", {"name": name, "classname": "tunesmith.check", "time": "0.000"})


def _add(case: ET.Element, tag: str, kind: str, message: str) -> None:
    ET.SubElement(case, tag, {"type": kind, "message": _clean(message)}).text = _clean(message)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
