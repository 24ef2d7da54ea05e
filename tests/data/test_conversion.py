"""Files of every shape, converted and evaluated."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tunesmith as ts
from tests.each import each
from tunesmith.data import Conversion, convert_file, known_shapes, write_rows
from tunesmith.errors import DataError, RowError, UsageError
from tunesmith.modules import bind

FILES = Path(__file__).parent / "files"

# Of each file: its shape, the signature and field that are evaluated, and the labels in order.
CONVERTED: dict[str, tuple[str, str, str, list[Any]]] = {
    "squad.json": ("squad", "context, question -> answer", "answer", ["1874", "", "noon"]),
    "squad_rows.jsonl": ("squad", "context, question -> answer", "answer", ["1874", ""]),
    "gsm8k.jsonl": ("gsm8k", "question -> answer: int", "answer", ["48", "1000"]),
    "promptfoo.yaml": ("promptfoo", "language, input -> expected: str | None", "expected", ["nei", None, None]),
    "promptfoo.csv": ("promptfoo", "question -> expected: str | None", "expected", ["4", None, "done"]),
    "alpaca.json": ("alpaca", "instruction, input -> output", "output", ["Oslo", "Good morning.", "The Akerselva."]),
    "sharegpt.jsonl": ("sharegpt", "question -> answer", "answer", ["At the pier.", "At noon."]),
    "chat.jsonl": ("sharegpt", "question -> answer", "answer", ["Oslo", "Stockholm"]),
    "hub/train.jsonl": ("huggingface", "review_text -> label", "label", ["bad", "good"]),
    "viewer.json": ("huggingface", "text -> label", "label", ["bad", "good"]),
    "data.json": ("rows", "text -> label: int", "label", [0, 1]),
    "bars.csv": ("rows", "Review_text -> Label", "Label", ["bad", "good"]),
}


@each("name", CONVERTED)
def test_a_file_of_each_shape_converts_and_evaluates(name: str, tmp_path: Path) -> None:
    shape, text, field, labels = CONVERTED[name]
    found = convert_file(FILES / name)
    assert found.wrong == ()
    assert found.shape == shape
    assert [row.get(field) for row in found.rows] == labels
    write_rows(tmp_path / "rows.jsonl", found.checked().rows)
    signature = ts.Signature(text)
    data = ts.Dataset.load(tmp_path / "rows.jsonl", signature=signature)
    answers = iter(labels)
    lm = ts.FunctionLM(lambda seen: json.dumps({field: next(answers)}))
    program = ts.Predict(signature)
    bind(program, "json")
    report = ts.evaluate(program, data, _equal(field), lm=lm)
    assert (report.n, report.mean, report.errors) == (len(labels), 1.0, 0)


def _equal(field: str) -> Any:
    return lambda example, prediction, trace=None: example[field] == prediction[field]


def test_there_is_a_file_of_each_shape() -> None:
    assert {shape for shape, *_ in CONVERTED.values()} == {shape.name for shape in known_shapes()}


def converted(folder: Path, given: Any, name: str = "rows.jsonl", **options: Any) -> Conversion:
    path = folder / name
    text = given if isinstance(given, str) else "".join(f"{json.dumps(row)}\n" for row in given)
    path.write_text(text, encoding="utf-8")
    return convert_file(path, **options)


def test_squad_keeps_every_answer_and_gives_none_for_a_question_without() -> None:
    first, second, _ = convert_file(FILES / "squad.json").rows
    assert (first["answers"], second["answers"]) == (["1874", "in 1874"], [])
    assert convert_file(FILES / "squad.json").dropped_fields == {"paragraphs.qas.plausible_answers": 1}


def test_gsm8k_keeps_the_reasoning_without_the_notes_for_a_calculator() -> None:
    first, second = convert_file(FILES / "gsm8k.jsonl").rows
    assert first["reasoning"] == "Each tray holds 12 rolls.\nThat is 12 * 4 = 48 rolls."
    assert second["reasoning"] == "2 * 500 = 1,000 bales"


def test_promptfoo_makes_a_row_per_item_of_a_variable_and_fields_of_assertions() -> None:
    first, *rest = convert_file(FILES / "promptfoo.yaml").rows
    assert first == {"language": "Norwegian", "input": "no", "expected": "nei"}
    assert [row["language"] for row in rest] == ["German", "Swedish"]
    assert all((row["contains"], row["rubric"]) == (["Winter"], "is one word") for row in rest)
    assert convert_file(FILES / "promptfoo.csv").rows[1]["accepted"] == ["red", "green"]
    assert convert_file(FILES / "promptfoo.csv").dropped == {
        "an assertion of the type `javascript`": 1,
        "an assertion of the type `is-json`": 1,
    }


def test_sharegpt_keeps_earlier_turns_and_says_what_it_drops() -> None:
    found = convert_file(FILES / "sharegpt.jsonl")
    assert found.rows[1] == {
        "question": "When does it leave?",
        "answer": "At noon.",
        "system": "Be brief.",
        "history": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello."}],
        "id": "c2",
    }
    assert found.dropped == {"a message after the last reply": 2, "a conversation without a reply to a user": 1}


def test_parquet_of_hugging_face_says_the_names_of_its_labels(tmp_path: Path) -> None:
    kinds = {"label": {"names": ["bad", "good"], "_type": "ClassLabel"}}
    table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1], "image": [b"\xff", b"\xfe", None]})
    notes = {"huggingface": json.dumps({"info": {"features": kinds}})}
    pq.write_table(table.replace_schema_metadata(notes), tmp_path / "rows.parquet")
    found = convert_file(tmp_path / "rows.parquet")
    assert found.shape == "huggingface"
    assert found.rows == ({"text": "a", "label": "good"}, {"text": "b", "label": "bad"})
    assert found.dropped == {"a row without a label in `label` (-1)": 1}
    assert found.dropped_fields == {"image (bytes)": 2}


def test_names_of_labels_can_be_given(tmp_path: Path) -> None:
    found = converted(tmp_path, "text,label\na,1\nb,0\nc,-1\n", "rows.csv", labels={"label": ["bad", "good"]})
    assert [row["label"] for row in found.rows] == ["good", "bad"]
    assert found.dropped == {"a row without a label in `label` (-1)": 1}
    with pytest.raises(UsageError, match=r"names the field `topic`; the rows have: text, label"):
        converted(tmp_path, "text,label\na,1\n", "rows.csv", labels={"topic": ["x"]})


def test_columns_get_names_that_a_signature_can_have(tmp_path: Path) -> None:
    found = converted(tmp_path, "What to do?,class,2nd choice\na,b,c\n", "rows.csv")
    (row,) = found.rows
    assert tuple(row) == ("What_to_do", "class_", "field_2nd_choice")
    assert list(ts.Signature(f"{', '.join(row)} -> label").input_fields) == list(row)


def test_fields_can_be_taken_from_elsewhere_and_any_separator_read(tmp_path: Path) -> None:
    found = converted(tmp_path, "Frage;Antwort\nWo?;Hier\n", "rows.csv", columns={"question": "Frage"}, delimiter=";")
    assert found.rows == ({"Antwort": "Hier", "question": "Wo?"},)


WRONG: list[tuple[str, Any, int, str, str]] = [
    ("squad", [{"context": "c", "question": "q", "answers": {"text": ["a"]}}, {"context": "c", "question": 5, "answers": {"text": ["a"]}}], 2, "question", "must be text, not 5"),
    ("squad", [{"paragraphs": [{"context": "c", "qas": [{"question": "q", "answers": []}]}]}], 1, "paragraphs[0].qas[0].answers", "no answer"),
    ("gsm8k", [{"question": "q", "answer": "#### 4"}, {"question": "q", "answer": "4"}], 2, "answer", "no result after `####`"),
    ("alpaca", [{"instruction": "i", "output": "o"}, {"instruction": "i", "output": ["o"]}], 2, "output", "must be text, not a list"),
    ("alpaca", [{"instruction": "i", "output": "o", "history": [["a"]]}], 1, "history[0]", "list of two texts"),
    ("sharegpt", [{"conversations": [{"from": "human", "value": "a"}, {"from": "robot", "value": "b"}]}], 1, "conversations[1].from", "role is unknown"),
    ("sharegpt", [{"messages": [{"role": "user", "content": 7}]}], 1, "messages[0].content", "must be text, not 7"),
    ("sharegpt", [{"messages": ["hello"]}], 1, "messages[0]", "must be an object"),
    ("promptfoo", [{"vars": {"a": "file://a.txt"}}], 1, "vars.a", "names a file"),
    ("promptfoo", [{"vars": {"a": "b"}, "assert": [{"type": "eqals", "value": 1}]}], 1, "assert[0].type", "unknown"),
    ("promptfoo", [{"vars": {"expected": "b"}, "assert": [{"type": "equals", "value": 1}]}], 1, "vars.expected", "Rename it"),
    ("huggingface", [{"a": {"b": 1}, "a_b": 2}], 1, "a_b", "Two fields get this name"),
    ("rows", [{"a b": 1, "a-b": 2}], 1, "a-b", "Two fields get the name `a_b`"),
]  # fmt: skip


@each("shape, rows, line, field, problem", WRONG)
def test_a_wrong_row_says_line_and_field(
    shape: str, rows: Any, line: int, field: str, problem: str, tmp_path: Path
) -> None:
    found = converted(tmp_path, rows)
    assert found.shape == shape
    (error,) = found.wrong
    assert (error.line, error.field) == (line, field)
    assert problem in error.problem
    with pytest.raises(RowError, match=rf"rows\.jsonl:{line}: field `"):
        found.checked()
    if len(found.rows) > 0:
        assert found.checked(skip_bad=True).rows == found.rows


def test_a_label_id_without_a_name_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text((FILES / "hub" / "dataset_info.json").read_text(encoding="utf-8"))
    found = converted(tmp_path, [{"label": 1, "tags": [0, 5]}, {"label": 7}])
    assert [(error.line, error.field) for error in found.wrong] == [(1, "tags[1]"), (2, "label")]
    assert "there are 2 names: bad, good" in found.wrong[1].problem


def test_fields_that_a_shape_has_no_use_for_can_be_kept(tmp_path: Path) -> None:
    rows = [{"instruction": "i", "output": "o", "category": "c", "id": 7}]
    found = converted(tmp_path, rows, keep=["category"])
    assert found.rows == ({"category": "c", "instruction": "i", "input": "", "output": "o"},)
    assert found.dropped_fields == {"id": 1}
    with pytest.raises(UsageError, match=r"`keep` names the field `kind`; the file has: instruction"):
        converted(tmp_path, rows, keep=["kind"])


def test_a_value_without_a_json_form_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"], "n": [1.0, float("nan")]}), tmp_path / "rows.parquet")
    (error,) = convert_file(tmp_path / "rows.parquet").wrong
    assert (error.line, error.field) == (2, "n")


def test_a_shape_can_be_chosen_and_one_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": "#### 4"}]
    assert converted(tmp_path, rows, shape="rows").rows == tuple(rows)
    with pytest.raises(UsageError, match=r"no shape 'squat'\. Use one of: alpaca, gsm8k"):
        converted(tmp_path, rows, shape="squat")
    with pytest.raises(UsageError, match=r"fits the shapes `alpaca` and `sharegpt`\. Choose one with `--from`"):
        converted(tmp_path, [{"instruction": "i", "output": "o", "messages": []}])


def test_a_file_of_which_nothing_is_left_is_an_error(tmp_path: Path) -> None:
    found = converted(tmp_path, [{"messages": []}])
    with pytest.raises(DataError, match=r"No row of .* Left out: a conversation without a reply to a user"):
        found.checked()
    with pytest.raises(DataError, match="has no rows"):
        converted(tmp_path, "\n")


def test_the_docs_have_a_line_for_each_shape() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert [shape.name for shape in known_shapes() if f"\n| `{shape.name}` |" not in page] == []
