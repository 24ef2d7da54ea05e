#!/usr/bin/env bash
# datasets 5.2.0: a JSON column of texts that all look like dates is read as timestamps, and is not text again after that.
#
# Guess before running it: `load_dataset("json")` keeps JSON strings as strings, and `features=` with `string` makes sure.
# Seen: if every text of a column is a date such as 2024-01-01, the column has timestamps; one other text (or an empty
# one) keeps all of them texts, so a filter or a split may change the type. `to_json` then writes numbers of milliseconds.
# `features=` with `string` brings back another text, "2024-01-01 00:00:00". The content of messages is no exception.
#
# In tunesmith: `docs/finetune.md` says so; `Dataset.load` reads the texts of JSON files as they stand.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'datasets==5.2.0' 'pyarrow==26.0.1'
cat > "$work/try.py" <<'PY'
import json
import sys
from pathlib import Path

from datasets import Features, Value, load_dataset

folder = Path(sys.argv[1])


def load(name, rows, **options):
    file = folder / f"{name}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return load_dataset("json", data_files=str(file), split="train", cache_dir=str(folder / f"cache-{name}"), **options)


def answers(*texts):
    return [{"prompt": "When?", "completion": text} for text in texts]


dates = load("dates", answers("2024-01-01", "2024-02-01"))
print(dates.features["completion"].dtype, dates[0]["completion"])
dates.to_json(folder / "out.jsonl")
print((folder / "out.jsonl").read_text().splitlines()[0])
print(load("mixed", answers("2024-01-01", "unknown")).features["completion"].dtype)
print(load("empty", answers("2024-01-01", "")).features["completion"].dtype)
texts = Features({"prompt": Value("string"), "completion": Value("string")})
print(load("stated", answers("2024-01-01", "2024-02-01"), features=texts)[0]["completion"])
spoken = [{"messages": [{"role": "assistant", "content": "2024-01-01"}]}] * 2
print(load("spoken", spoken).features["messages"].feature["content"].dtype)
PY
found=$(HF_HOME="$work/home" HF_HUB_OFFLINE=1 "$work/venv/bin/python" "$work/try.py" "$work" 2>/dev/null)
wanted='timestamp[s] 2024-01-01 00:00:00
{"prompt":"When?","completion":1704067200000}
string
string
2024-01-01 00:00:00
timestamp[s]'
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
