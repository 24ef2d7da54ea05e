"""Labels from the log-probabilities of a reply: the one that a grammar would have forced, and how likely each is."""

import math
from collections.abc import Mapping, Sequence

from tunesmith.lm import TokenLogprob

__all__ = ["label_logprobs", "likeliest_label"]


def likeliest_label(labels: Sequence[str], tokens: Sequence[TokenLogprob]) -> str | None:
    """Return the label that greedy decoding under a grammar of the labels gives, `None` if that is unknown.

    At each step a grammar picks the likeliest token that some label allows. The alternatives of the first token show
    the first step. The next step is known only while the reply has the same tokens.

    Args:
        labels: the texts of the labels.
        tokens: of the reply, each with its alternatives.
    """
    written, left = "", list(labels)
    for token in tokens:
        options = {one.token: one.logprob for one in token.top} | {token.token: token.logprob}
        allowed = [text for text in options if text and any(label.startswith(written + text) for label in left)]
        if not allowed:
            break
        best = max(allowed, key=lambda text: options[text])
        written += best
        left = [label for label in left if label.startswith(written)]
        if len(left) == 1:
            return left[0]
        if best != token.token:  # the reply continues from another token
            return None
    return written if written in left else None


def label_logprobs(labels: Sequence[str], tokens: Sequence[TokenLogprob]) -> dict[str, float]:
    """Return the log-probability of each label, read from the reply's tokens; empty if they show none.

    No tokenizer is needed: the first token of a label is the longest reported token that the label begins with. A label
    that no reported token begins has the value of the lowest one, which is an upper bound. Labels that begin with the
    same token share its value; the next tokens divide it among them, but only if the reply goes that way. Values are
    comparable among the labels of one reply and do not sum to 1.

    Args:
        labels: the texts of the labels.
        tokens: of the reply, each with its alternatives.

    Example:
        >>> from tunesmith.lm import TokenLogprob, TopLogprob
        >>> top = (TopLogprob("pos", -0.2), TopLogprob("The", -1.9), TopLogprob("neg", -3.0))
        >>> label_logprobs(["positive", "negative"], [TokenLogprob("pos", -0.2, top=top)])
        {'positive': -0.2, 'negative': -3.0}
    """
    found: dict[str, float] = {}
    group, written = list(labels), ""
    for token in tokens:
        options = _options(token, first=not written)
        own = token.token if written else token.token.lstrip()
        if not written and not own.strip() and token.token:
            continue  # white space before the label
        if len(token.top) < 2:  # only the token itself is known
            break
        steps = {label: _step(options, label[len(written) :]) for label in group}
        if not written and not any(steps.values()):
            return {}
        share = found[group[0]] + _scale(options, steps) if written else 0.0
        lowest = min(options.values())
        found |= {label: share + (lowest if step is None else options[step]) for label, step in steps.items()}
        group = [label for label in group if steps[label] == own and own]
        if len(group) < 2:
            break
        written += own
    return found


def _options(token: TokenLogprob, *, first: bool) -> dict[str, float]:
    """Return the log-probability of each reported text. The end of the reply is an empty text."""
    found: dict[str, float] = {}
    for text, value in ({one.token: one.logprob for one in token.top} | {token.token: token.logprob}).items():
        name = text.lstrip() if first else text.rstrip("\n")
        # A label may begin with or without a space: both tokens mean it.
        found[name] = value if name not in found else _sum([found[name], value])
    return found


def _step(options: Mapping[str, float], rest: str) -> str | None:
    """Return the longest reported text that `rest` begins with; a complete label ends the reply."""
    if not rest:
        return "" if "" in options else None
    return max((text for text in options if text and rest.startswith(text)), key=len, default=None)


def _scale(options: Mapping[str, float], steps: Mapping[str, str | None]) -> float:
    """Return what makes the values of the different steps sum to 1."""
    known = {step for step in steps.values() if step is not None}
    values = [options[step] for step in sorted(known)]
    if None in steps.values():
        values.append(min(options.values()))
    return -_sum(values)


def _sum(values: Sequence[float]) -> float:
    """Return the logarithm of the sum of probabilities."""
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))
