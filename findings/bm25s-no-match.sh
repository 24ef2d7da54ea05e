#!/usr/bin/env bash
# bm25s 0.3.16: a query that matches nothing is answered with documents, and short words are no words.
#
# Guess before running it: `retrieve` returns fewer than k documents if fewer match, and none for unknown words;
# `get_scores` of an empty query is all zeros; the tokenizer keeps "3.14" in some form and "C++" as "c".
# Seen: `retrieve` always returns k documents: for an unknown or an empty query the last ones of the corpus, in backward
# order, with score 0, which looks like a ranking. `get_scores([])` raises IndexError. The tokenizer drops every word
# of one character: "C++" is gone, and "3.14" is "14".
#
# In tunesmith: `BM25` returns passages that share a word with the query, and none if there is none; its words keep
# single characters.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'bm25s==0.3.16'
cat > "$work/try.py" <<'PY'
import bm25s

index = bm25s.BM25()
index.index([["red", "fox"], ["blue", "sky"], ["red", "sky"], ["green"]], show_progress=False)
for query in (["unknown"], [], ["blue"]):
    found = index.retrieve([query], k=3, show_progress=False)
    print(query, found.documents[0].tolist(), [score > 0 for score in found.scores[0].tolist()])
try:
    print(index.get_scores([]))
except IndexError as error:
    print("get_scores", type(error).__name__)
print(bm25s.tokenize(["C++ in 3.14 seconds"], stopwords=None, return_ids=False, show_progress=False))
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted="['unknown'] [3, 2, 1] [False, False, False]
[] [3, 2, 1] [False, False, False]
['blue'] [1, 3, 2] [True, False, False]
get_scores IndexError
[['in', '14', 'seconds']]"
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
