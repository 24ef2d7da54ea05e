#!/usr/bin/env bash
# gepa 0.1.4: `max_metric_calls` is looked at between rounds, so that a search may take twice the budget, or end without a proposal.
#
# Guess before running it: the metric is called at most `max_metric_calls` times, or a minibatch more.
# Seen: the first candidate is scored on the whole validation set whatever the budget is: 20 calls with 200 examples are 200 calls,
# and no proposal. A round that begins with one call left scores its proposal on the whole set if the minibatch was better: a budget of
# 201 took 406. `total_metric_calls` tells the true number; nothing warns.
#
# In tunesmith: a budget of calls is exact, and what it leaves room for is told before the first call.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'gepa==0.1.4'
cat > "$work/try.py" <<'PY'
import gepa


class Adapter:
    """A task where a longer instruction is better, and each example is one call of the metric."""

    propose_new_texts = None

    def evaluate(self, batch, candidate, capture_traces=False):
        scores = [min(1.0, len(candidate["instruction"]) / 100)] * len(batch)
        traces = [{}] * len(batch) if capture_traces else None
        return gepa.EvaluationBatch(outputs=[""] * len(batch), scores=scores, trajectories=traces)

    def make_reflective_dataset(self, candidate, eval_batch, components):
        return {name: [{"Inputs": "", "Generated Outputs": "", "Feedback": "Say more."}] for name in components}


class Silent:
    def log(self, *_):
        pass


proposed = []


def reflection(_prompt):
    """Propose an instruction that is longer than all before."""
    proposed.append("x" * (10 + len(proposed)))
    return f"```\n{proposed[-1]}\n```"


for budget in (20, 200, 201, 300):
    proposed.clear()
    found = gepa.optimize(
        seed_candidate={"instruction": "x"},
        trainset=list(range(30)),
        valset=list(range(200)),
        adapter=Adapter(),
        reflection_lm=reflection,
        max_metric_calls=budget,
        logger=Silent(),
    )
    print(f"budget {budget}: {found.total_metric_calls} calls, {len(proposed)} proposals")
PY
found=$("$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted='budget 20: 200 calls, 0 proposals
budget 200: 200 calls, 0 proposals
budget 201: 406 calls, 1 proposals
budget 300: 406 calls, 1 proposals'
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
