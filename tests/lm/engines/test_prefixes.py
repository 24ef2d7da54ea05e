"""Prefixes are read once, in steps that depend on nothing but the prefix."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tunesmith.lm.engines.llamacpp.prefixes import Prefixes, StateFolder
from tunesmith.lm.engines.llamacpp.slots import Slots

RULES = {"role": "system", "content": "Sort it."}
DEMO = [{"role": "user", "content": "Comment: cold\nTopic:"}, {"role": "assistant", "content": "food"}]


def asked(comment: str) -> dict[str, str]:
    return {"role": "user", "content": f"Comment: {comment}\nTopic:"}


class Machine:
    """Contexts that keep what they hold as text, and files that keep it too."""

    def __init__(self, *, slots: int = 2, full_disk: bool = False, error: bool = False) -> None:
        self.full_disk, self.error = full_disk, error
        self.read: list[tuple[str, str]] = []  # from what, to what
        self.states = StateFolder()
        self.slots = Slots(lambda _: Held(self), count=slots, threads=2)  # type: ignore[arg-type,return-value]
        self.prefixes = Prefixes(self.slots, self.states)

    def after(self, messages: list[dict[str, str]]) -> str:
        """Return what a context holds before it answers `messages`."""
        with self.slots.take() as context:
            there = self.prefixes.bring(context, messages)
            return context.holds if there else ""  # type: ignore[attr-defined,no-any-return]


class Held:
    def __init__(self, machine: Machine) -> None:
        self.machine, self.holds = machine, ""

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.machine.error:
            return {"error": "too long"}
        text = "|".join(message["content"] for message in body["messages"])
        self.machine.read.append((self.holds if body["cache_prompt"] else "", text))
        self.holds = text
        return {}

    def save(self, name: str) -> None:
        if self.machine.full_disk:
            raise OSError("no space left")
        (self.machine.states.path / name).write_text(self.holds)

    def restore(self, name: str) -> None:
        self.holds = (self.machine.states.path / name).read_text()


def test_a_prefix_is_the_instruction_the_demos_and_the_name_of_the_field_and_is_read_once() -> None:
    machine = Machine()
    for comment in ("cold", "warm"):
        assert machine.after([RULES, *DEMO, asked(comment)]) == "Sort it.|Comment: cold\nTopic:|food|Comment: ."
    assert machine.read == [
        ("", "Sort it.| ."),
        ("Sort it.| .", "Sort it.|Comment: cold\nTopic:|food| ."),
        ("Sort it.|Comment: cold\nTopic:|food| .", "Sort it.|Comment: cold\nTopic:|food|Comment: ."),
    ]


def test_the_instruction_is_read_once_for_all_demos() -> None:
    machine = Machine()
    machine.after([RULES, *DEMO, asked("cold")])
    machine.after([RULES, *DEMO, *DEMO, asked("cold")])
    assert [text for begun, text in machine.read if not begun] == ["Sort it.| ."]


def test_what_a_context_holds_does_not_depend_on_what_was_asked_before() -> None:
    requests = [[RULES, *DEMO, asked("a")], [RULES, asked("b")], [asked("c")], [*DEMO, asked("d")], [asked("e f: g")]]
    alone = [Machine().after(messages) for messages in requests]
    machine = Machine()
    assert [machine.after(messages) for messages in [*requests, *requests]] == [*alone, *alone]
    assert [Machine().after(messages) for messages in requests[::-1]] == alone[::-1]


def test_callers_who_meet_read_a_new_prefix_once() -> None:
    machine = Machine()
    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(lambda number: machine.after([RULES, *DEMO, asked(str(number))]), range(12)))
    assert len(found) == 1
    assert len(machine.read) == 3


def test_on_a_full_disk_each_call_reads_its_prefix_itself() -> None:
    machine = Machine(full_disk=True)
    found = {machine.after([RULES, *DEMO, asked(comment)]) for comment in ("cold", "warm")}
    assert found == {"Sort it.|Comment: cold\nTopic:|food|Comment: ."}


def test_of_a_prefix_that_cannot_be_read_nothing_is_reused() -> None:
    assert Machine(error=True).after([RULES, asked("cold")]) == ""


@pytest.mark.parametrize("text", ["Dear Sir, a word: no", "12: x", "Note:\nx", "a:b", "[[ ## no end"])
def test_an_opening_that_is_not_the_name_of_a_field_belongs_to_the_input(text: str) -> None:
    assert Machine().after([RULES, {"role": "user", "content": text}]) == "Sort it.| ."


def test_a_marker_of_the_chat_format_is_an_opening() -> None:
    message = {"role": "user", "content": "[[ ## comment ## ]]\ncold"}
    assert Machine().after([RULES, message]) == "Sort it.|[[ ## comment ## ]] ."


def test_the_oldest_states_go_above_the_limit(tmp_path: Path) -> None:
    states = StateFolder(limit=25)
    for name in ("a", "b", "c"):
        (states.path / name).write_bytes(b"x" * 10)
        states.add(name)
    assert [states.has(name) for name in ("a", "b", "c")] == [False, True, True]
    states.clear()
    assert not states.has("c")
    assert not list(states.path.glob("[abc]"))
