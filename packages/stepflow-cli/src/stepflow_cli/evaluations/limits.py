"""The numbers of `--fail-below`, `--tolerance` and `--worst`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import suggest, usage

if TYPE_CHECKING:
    from stepflow_client.evaluation.gates import GateRules, Limit

FAILED = "failed"
"""The share of items that did not complete: every evaluation has it."""


def parse_limits(words: Iterable[str], option: str, *, needs_score: bool = True) -> list[Limit]:
    """Return the numbers that an option gives.

    Raises:
        Problem: If a word has another form.
    """
    return [_parse_limit(word, option, needs_score=needs_score) for word in words]


def _parse_limit(word: str, option: str, *, needs_score: bool = False) -> Limit:
    """Return the number that a word gives, with its score and variant: `[[VARIANT:]SCORE=]NUMBER`.

    Raises:
        Problem: If the word has another form.
    """
    named, equals, text = word.rpartition("=")
    variant, colon, score = named.partition(":")
    score = score if colon else named
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise usage(f"{option} {word}: {text!r} is no number", f"write it as {option} exact=0.9")
    if (equals and not score) or (needs_score and not equals) or (colon and not variant):
        raise usage(f"{option} {word} names no score", f"write it as {option} exact={text}")
    from stepflow_client.evaluation.gates import Limit

    return Limit(score or None, number, variant if colon else None)


def parse_worst(word: str) -> Limit:
    """Return the number of the worst cases to print, and their score.

    Raises:
        Problem: If the word has another form.
    """
    worst = _parse_limit(word, "--worst")
    if worst.number < 1 or worst.number != int(worst.number):
        raise usage(f"--worst {word}: {worst.number:g} is no number of cases", "write it as --worst 20")
    return worst


def check_gate_names(gate_rules: GateRules, scores: Iterable[str], variants: Iterable[str]) -> None:
    """Check the names before anything runs, as far as they are known: a score may return several.

    Raises:
        Problem: If a name belongs to no score or variant; the hint suggests the nearest.
    """
    score_names, variant_names = [*scores, FAILED], [*variants]
    for option, limits in (("--fail-below", gate_rules.below), ("--tolerance", gate_rules.tolerances)):
        for limit in limits:
            name = limit.score or FAILED
            if not any(name == score or name.startswith((f"{score}.", f"{score}=")) for score in score_names):
                longer = [score for score in score_names if score.startswith(f"{name}.")]
                near = f"did you mean {longer[0]}?" if longer else suggest(name, score_names)
                hint = near or f"the scores are {', '.join(score_names)}"
                raise usage(f"{option}: there is no score {name}", hint)
            if limit.variant is not None and limit.variant not in variant_names:
                hint = suggest(limit.variant, variant_names) or f"the variants are {', '.join(variant_names)}"
                raise usage(f"{option}: there is no variant {limit.variant}", hint)
