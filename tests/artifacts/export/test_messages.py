import json
from typing import Annotated, Any

import dspy
from pydantic import BaseModel, WithJsonSchema

import tunesmith as ts
from tests.artifacts.export.prompts import FORMATS, check_texts, program, sent
from tests.each import each
from tunesmith.modules import Module


def read(made: Module, **options: Any) -> Any:
    return json.loads(ts.export(made, to="messages", **options).text)


def filled(described: Any, values: dict[str, str]) -> list[dict[str, str]]:
    """Fill the placeholders as the file says."""
    *before, last = [dict(message) for message in described["messages"]]
    for field in described["inputs"]:
        value = values[field["name"]]
        if "\n" in value and "several_lines" in field:
            how = field["several_lines"]
            last["content"] = last["content"].replace(how["replace"], how["by"])
            value = value.replace("\n", how["line_break"])
        # One at a time, in the order of the message: a value may look like a later placeholder.
        head, tail = last["content"].split(field["placeholder"], 1)
        last["content"] = head + value.replace("{{", "{\0{") + tail
    return [*before, {**last, "content": last["content"].replace("{\0{", "{{")}]


@each("name", FORMATS)
def test_the_file_has_exactly_the_messages_that_are_sent(name: str) -> None:
    def check(instruction: str, demo: str, text: str, more: str) -> None:
        made = program(name, instruction, demo)
        found = filled(read(made)["predictors"]["self"], {"text": text, "count": "7", "more": more})
        assert found == sent(made, text=text, count=7, more=more)

    check_texts(name, check)


def test_each_predictor_has_its_messages_fields_and_options() -> None:
    chain = ts.Chain(one=ts.Predict("text -> words: list[str]"), two=ts.Predict("words: list[str] -> label"))
    found = read(chain)["predictors"]
    assert list(found) == ["one", "two"]
    assert found["two"]["inputs"] == [
        {"name": "words", "type": "list[str]", "desc": None, "placeholder": "{{words}}", "as": "JSON"}
    ]
    assert found["one"]["schema"]["properties"]["words"]["type"] == "array"
    assert found["one"]["options"] == {"max_tokens": 512, "temperature": 0.0, "seed": 0}


def test_the_notes_say_what_a_placeholder_cannot_do() -> None:
    notes = " ".join(ts.export(program(), to="messages").notes)
    assert "tunesmith writes some texts otherwise" in notes
    assert "give count as JSON" in notes


def test_without_indent_it_is_one_line() -> None:
    assert ts.export(program(), to="messages", indent=0).text.count("\n") == 1


class Item(BaseModel):
    name: str
    amount: int


class Order(dspy.Signature):
    """Read the order."""

    text: str = dspy.InputField()
    items_found: list[Item] = dspy.OutputField()


Own = Annotated[dict[str, Any], WithJsonSchema(Item.model_json_schema())]


def test_a_note_says_which_inner_fields_no_message_tells() -> None:
    note = "do not tell what is inside an output (amount, name)"
    assert note not in " ".join(ts.export(ts.Predict(Order), to="messages").notes)
    untold = Order.with_updated_fields("items_found", type_=list[Own])
    assert note in " ".join(ts.export(ts.Predict(untold), to="messages").notes)
    told = ts.Predict(untold.with_instructions("Read the order: name and amount of each."))
    assert note not in " ".join(ts.export(told, to="messages").notes)
