"""Find the label that a grammar would have forced, from the log-probabilities of an unconstrained reply."""

from collections.abc import Sequence

from tunesmith.lm import TokenLogprob

__all__ = ["likeliest_label"]


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
