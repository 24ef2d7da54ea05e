"""New rows of a signature, from a few of them: the instances of Self-Instruct, for one task that is known."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import create_model

from tunesmith.data import Dataset, plain
from tunesmith.errors import UsageError
from tunesmith.experiments.synth import Pool, Progress, Synthesis, SynthSettings, Teacher, rng_of, with_demos
from tunesmith.lm import LM, Budget
from tunesmith.modules import Predict
from tunesmith.signatures import (
    InputField,
    OutputField,
    Signature,
    declared,
    field_names,
    given_value,
    input_types,
    labels,
)

__all__ = ["new_rows"]

_MOST_LABELS = 50
_ROWS_PER_LABEL = 2
_DEMOS = 4
_UNLIKE = "They differ from the given ones in content and in wording, and are as realistic as they are."
_NEW = f"Write new inputs for the task. {_UNLIKE}"
_NEW_OF_LABEL = f"Write new inputs for the task, for which the given output is right. {_UNLIKE}"


def new_rows(
    seeds: Dataset,
    signature: type[Signature],
    *,
    lm: LM,
    budget: Budget,
    settings: SynthSettings | None = None,
    progress: Progress | None = None,
) -> Synthesis:
    """Return new rows of a signature.

    If it has one output and that is a label (a `Literal`, an `Enum`, a bool, or a text of which the seeds have few),
    the label comes first: every label in turn, with new inputs for it. Otherwise new inputs come first and the teacher
    answers them, with seeds as demos. A question shows 8 rows, 2 of them made ones. A row is left out if its inputs are
    empty, or have a ROUGE-L above 0.7 with those of another row. The same seeds, settings and replies give the same
    rows.

    Args:
        seeds: rows that people wrote.
        signature: of the rows.
        lm: the teacher.
        budget: of all its calls. If it ends, what was made is returned.
        settings: how; `count` is the number of new rows.
        progress: is told how many there are.

    Raises:
        UsageError: there is no seed.
        ModelError: the model cannot be used.
    """
    if not seeds:
        raise UsageError("New rows need seeds. Given: none.")
    settings = SynthSettings() if settings is None else settings
    work = _Rows(Teacher(lm, budget, settings, progress), [dict(seed.items()) for seed in seeds], signature)
    ended = work.teacher.until_the_end(work.round, lambda: len(work.rows))
    return work.teacher.result(work.rows, len(work.rows), ended)


class _Rows:
    """One run."""

    def __init__(self, teacher: Teacher, seeds: Sequence[Mapping[str, Any]], signature: type[Signature]) -> None:
        names, choices = field_names(signature), _choices(signature, seeds)
        self.teacher, self.rows = teacher, list[dict[str, Any]]()
        self._signature, self._outputs_named = signature, names.outputs
        self._rng = rng_of(teacher.settings, "rows")
        self._whole = Pool([_text(seed, names.inputs) for seed in seeds], teacher.settings.similarity)
        self._pools = {
            choice: Pool([_text(seed, names.inputs) for seed in seeds if _is(seed, names.outputs, choice)], 1.0)
            for choice in choices or (None,)
        }
        self._asked: Counter[str | None] = Counter(dict.fromkeys(self._pools, 0))
        self._new = Predict(_step(signature, of_label=bool(choices)))
        demos = [{name: seed[name] for name in (*names.inputs, *names.outputs)} for seed in seeds[:_DEMOS]]
        self._answer = with_demos(Predict(signature), demos)

    def round(self) -> bool:
        """Ask for new rows, of the label that was asked for the fewest times; return whether one was accepted."""
        settings = self.teacher.settings
        choice = min(self._pools, key=lambda one: self._asked[one])
        self._asked[choice] += 1
        shown = self._pools[choice].shown(self._rng, settings) or self._whole.shown(self._rng, settings)
        given = {} if choice is None else {"output": choice}
        task = self._signature.instructions
        found = self.teacher.draw(self._new, task=task, **given, examples=shown, count=settings.asked)
        before = len(self.rows)
        for one in [] if found is None else found.new_inputs:
            if len(self.rows) < settings.count:
                self._consider(one.model_dump(), choice, shown)
        return len(self.rows) > before

    def _consider(self, inputs: Mapping[str, Any], choice: Any, shown: Sequence[str]) -> None:
        text = _text(inputs, list(inputs))
        score, other = self._whole.nearest(text)
        if not any(str(value).strip() for value in inputs.values()):
            self.teacher.left_out["an empty input"] += 1
        elif self._whole.is_like_another(score):
            self.teacher.left_out["an input like another one"] += 1
        else:
            outputs = self._outputs(inputs, choice)
            if outputs is None:
                return
            self._whole.made.append(text)
            self._pools[choice].made.append(text)
            nearest = {"rouge_l": round(score, 4), "input": other}
            order = "inputs first" if choice is None else "label first"
            provenance = self.teacher.provenance("self-instruct", order=order, shown=list(shown), nearest=nearest)
            self.rows.append(plain({**inputs, **outputs, "provenance": provenance}))
            self.teacher.say("rows", len(self.rows))

    def _outputs(self, inputs: Mapping[str, Any], choice: Any) -> Mapping[str, Any] | None:
        names = self._outputs_named
        if choice is not None:
            return {names[0]: plain(given_value(self._signature, names[0], choice))}
        found = self.teacher.ask(self._answer, **inputs)
        return None if found is None else {name: plain(found[name]) for name in names}


def _step(signature: type[Signature], *, of_label: bool) -> type[Signature]:
    kinds: dict[str, Any] = {name: (kind, ...) for name, kind in input_types(signature).items()}
    inputs = create_model("Inputs", **kinds)
    fields: dict[str, Any] = {"task": (str, InputField())}
    if of_label:
        fields["output"] = (str, InputField(desc="that is right for every new input"))
    fields["examples"] = (list[str], InputField(desc="inputs there are"))
    fields["count"] = (int, InputField(desc="how many new inputs"))
    fields["new_inputs"] = (list[inputs], OutputField())  # type: ignore[valid-type]
    return declared(fields, _NEW_OF_LABEL if of_label else _NEW)


def _choices(signature: type[Signature], seeds: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the labels of the only output, empty if it is none or there are several outputs."""
    names = field_names(signature).outputs
    if len(names) != 1:
        return ()
    known = labels(signature, names[0])
    if known is not None:
        return known
    values = [seed.get(names[0]) for seed in seeds]
    different = tuple(dict.fromkeys(value for value in values if isinstance(value, str)))
    few = len(different) <= min(_MOST_LABELS, len(values) / _ROWS_PER_LABEL)
    return different if few and all(isinstance(value, str) for value in values) else ()


def _is(seed: Mapping[str, Any], outputs: Sequence[str], choice: Any) -> bool:
    return choice is None or str(plain(seed.get(outputs[0]))) == choice


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the inputs of a row as one text: a single text as it is, others with their names."""
    values = {name: plain(row.get(name)) for name in names}
    if len(values) == 1 and isinstance(next(iter(values.values())), str):
        return str(next(iter(values.values())))
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
    )
