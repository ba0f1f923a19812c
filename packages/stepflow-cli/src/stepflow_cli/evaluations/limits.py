"""What a command line demands of the scores: limits, and no regression from an earlier evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import Problem, nearest, usage

if TYPE_CHECKING:
    from stepflow_client.evaluation import EvaluationReport

FAILED = "failed"
"""The share of items that did not complete: every evaluation has it."""


class Limit(NamedTuple):
    """A number of a score, for `--fail-below`, `--tolerance` or `--worst`."""

    score: str | None
    """The name of the score; None for all of them, or the first one."""
    number: float
    variant: str | None = None
    """The only variant that it is about."""


def read_limits(words: Iterable[str], option: str, *, needs_score: bool = True) -> list[Limit]:
    """Return the numbers that an option gives.

    Raises:
        Problem: If a word has another form.
    """
    return [_read(each, option, needs_score=needs_score) for each in words]


def _read(word: str, option: str, *, needs_score: bool = False) -> Limit:
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
    return Limit(score or None, number, variant if colon else None)


def read_worst(word: str) -> Limit:
    """Return how many of the worst cases are wanted, and by which score.

    Raises:
        Problem: If the word has another form.
    """
    worst = _read(word, "--worst")
    if worst.number < 1 or worst.number != int(worst.number):
        raise usage(f"--worst {word}: {worst.number:g} is no number of cases", "write it as --worst 20")
    return worst


class Limits(NamedTuple):
    """What the scores must be."""

    below: Sequence[Limit] = ()
    """The numbers below which a score fails."""
    tolerances: Sequence[Limit] = ()
    """How much worse a score may be than that of the earlier evaluation."""

    def check(self, scores: Iterable[str], variants: Iterable[str]) -> None:
        """Check the names before anything runs, as far as they are known: a score may return several.

        Raises:
            Problem: If a name belongs to no score or variant; the hint suggests the nearest.
        """
        known, there = [*scores, FAILED], [*variants]
        for option, given in (("--fail-below", self.below), ("--tolerance", self.tolerances)):
            for each in given:
                name = each.score or FAILED
                if not any(name == score or name.startswith((f"{score}.", f"{score}=")) for score in known):
                    longer = [score for score in known if score.startswith(f"{name}.")]
                    near = f"did you mean {longer[0]}?" if longer else nearest(name, known)
                    hint = near or f"the scores are {', '.join(known)}"
                    raise usage(f"{option}: there is no score {name}", hint)
                if each.variant is not None and each.variant not in there:
                    hint = nearest(each.variant, there) or f"the variants are {', '.join(there)}"
                    raise usage(f"{option}: there is no variant {each.variant}", hint)

    def judge(self, report: EvaluationReport, variants: Sequence[str], baselines: dict[str, str]) -> None:
        """Raise if a score is below its limit, or worse than before.

        Args:
            report: The report.
            variants: The variants to look at.
            baselines: The variants of the earlier evaluation that these are compared with, by name.

        Raises:
            Problem: If so; the message has all that is wrong.
        """
        found = [*self._too_low(report, variants), *self._regressions(report, baselines)]
        for each in variants:
            failed = report.compare(each, each).failed
            if failed is None or failed.after == 1:
                found.append(f"no item of {each} has ended" if failed is None else f"all items of {each} failed")
        if found:
            raise Problem("; ".join(found), kind="evaluation_failed")

    def _too_low(self, report: EvaluationReport, variants: Sequence[str]) -> Iterator[str]:
        for limit in self.below:
            score = limit.score or ""
            for variant in variants if limit.variant is None else [limit.variant]:
                try:
                    found = report.compare(variant, variant)[score]
                except KeyError:
                    yield f"{variant} has no {score}"
                    continue
                is_lower = found.lower_is_better
                if found.after > limit.number if is_lower else found.after < limit.number:
                    word = "above" if is_lower else "below"
                    yield f"{score} of {variant} is {found.after:.4g}, {word} {limit.number:g}"

    def _regressions(self, report: EvaluationReport, baselines: dict[str, str]) -> Iterator[str]:
        for variant, before in baselines.items():
            comparison = report.compare(before, variant)
            if comparison.failed is None:
                yield f"no case has ended in both {before} and {variant}"
                continue
            for change in (*comparison.scores, comparison.failed):
                if change.lower_is_better is None:
                    # A label: none is better than another.
                    continue
                tolerance = self._tolerance(change.score, variant)
                try:
                    report.assert_no_regression(before, variant, change.score, tolerance=tolerance)
                except AssertionError:
                    more = f" by more than {tolerance:g}" if tolerance else ""
                    yield (
                        f"{change.score} of {variant} is worse than {before}{more}: "
                        f"{change.before:.4g} -> {change.after:.4g}"
                    )

    def _tolerance(self, score: str, variant: str) -> float:
        found = [
            each.number for each in self.tolerances if each.score in (None, score) and each.variant in (None, variant)
        ]
        return found[-1] if found else 0.0
