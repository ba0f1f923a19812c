"""The options of `stepflow eval`: what their words mean, and which of them contradict each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Problem, suggest, usage
from ..inputs.values import Values

if TYPE_CHECKING:
    from stepflow_client.evaluation.gates import GateRules, Limit

_WHERE = "the folder of an evaluation is the one that --output has named"
_HISTORY = "history:"
# What is written into a file, by its extension.
_KINDS = {"html": "html", "htm": "html", "xml": "junit", "json": "json", "jsonl": "cases"}
FAILED = "failed"
"""The share of items that did not complete: every evaluation has it."""


class OutputPaths(NamedTuple):
    """The paths of `--output`."""

    folder: str | None = None
    """The folder that keeps the evaluation."""
    reports: Sequence[tuple[str, str]] = ()
    """The files of the report, as pairs of the kind and the path."""


class EvalOptions(NamedTuple):
    """The options of an evaluation."""

    flow: str
    """The flow, the folder of an earlier evaluation, or a folder of several."""
    cases: str | None
    cases_format: str | None
    expected: str
    limit: int | None
    variants: Sequence[str]
    scores: Sequence[str]
    repeat: int
    check: bool
    values: Values
    max_concurrency: int | None
    max_scores: int
    retry: dict[str, Any]
    """The options of `map` about items that run again."""
    labels: dict[str, str]
    resume: bool
    files: OutputPaths
    baseline: str | None
    slice_by: str | None
    worst: Limit | None

    @property
    def history_query(self) -> str | None:
        """The query for the runs of the history that are the cases; None for other cases."""
        is_query = self.cases is not None and self.cases.startswith(_HISTORY) and not os.path.exists(self.cases)
        return self.cases.removeprefix(_HISTORY).strip() if self.cases is not None and is_query else None

    @property
    def is_stored(self) -> bool:
        """Whether FLOW is an earlier evaluation."""
        return is_evaluation(self.flow)

    @property
    def is_trend(self) -> bool:
        """Whether FLOW is a folder with several evaluations, and no evaluation itself."""
        return os.path.isdir(self.flow) and not self.is_stored and any(map(is_evaluation, Path(self.flow).iterdir()))

    def single_evaluation_problem(self, option: str) -> Problem:
        """Return the problem of an option that a trend does not have."""
        return usage(f"{self.flow} has several evaluations: {option} needs a single one", "name its folder")

    def check_options(self, gate_rules: GateRules) -> None:
        """Raise if options contradict each other, or a folder cannot be used, before anything runs.

        Args:
            gate_rules: The limits of the gates.

        Raises:
            Problem: If so.
        """
        from ..output.view import Output

        if self.resume and self.files.folder is None:
            raise usage("--resume needs --output FOLDER: it continues the evaluation in it")
        if any(kind == "cases" for kind, _ in self.files.reports) and self.worst is None:
            raise usage("a file of cases keeps the worst ones: --output FILE.jsonl needs --worst N")
        if self.baseline is not None and not is_evaluation(self.baseline):
            raise usage(f"--baseline {self.baseline}: there is no evaluation in this folder", _WHERE)
        if self.is_stored or self.is_trend:
            unused = {
                "--cases": self.cases,
                "--variant": self.variants,
                "--score": self.scores,
                "--resume": self.resume,
                "--output FOLDER": self.files.folder,
            }
            for name in (name for name, value in unused.items() if value):
                raise usage(
                    f"{self.flow} is an evaluation that is shown again: {name} has no use here",
                    "to continue it, give the same command as before with --resume",
                )
            of_one = {
                "--baseline": self.baseline,
                "--fail-below": gate_rules.below,
                "--tolerance": gate_rules.tolerances,
                "--strict": gate_rules.strict,
                "--slice": self.slice_by,
                "--worst": self.worst,
                "--output FILE.xml": any(kind == "junit" for kind, _ in self.files.reports),
            }
            for name in (name for name, value in of_one.items() if value and self.is_trend):
                raise self.single_evaluation_problem(name)
        elif os.path.isdir(self.flow):
            raise usage(f"{self.flow} is a folder without an evaluation", f"FLOW is a file; {_WHERE}")
        elif self.files.folder is not None:
            self._check_folder(self.files.folder)
        for _, path in self.files.reports:
            Output(path=path).check()

    def _check_folder(self, folder: str) -> None:
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise usage(
                f"--output {folder} is a file, not a folder",
                "a file of the report ends with .html, .json, .xml (JUnit) or .jsonl (the worst cases)",
            )
        if is_evaluation(folder):
            if not _has_begun(folder):
                # Its flow or its cases were wrong.
                for path in (*Path(folder).glob("evaluation.db*"), *Path(folder, "runs").glob("*.journal*")):
                    path.unlink()
                with suppress(OSError):
                    # Fails if the folder has other files.
                    Path(folder, "runs").rmdir()
            elif not self.resume:
                raise usage(
                    f"{folder} has an evaluation already",
                    "--resume continues it, or computes new scores of what has run; else name another folder",
                )
        elif os.path.isdir(folder) and os.listdir(folder):
            raise usage(f"{folder} is not empty, and has no evaluation", "name a new folder")


def is_evaluation(path: str | Path) -> bool:
    """Return whether a path is the folder of an evaluation."""
    if not os.path.isdir(path):
        return False
    from stepflow_client.evaluation.store import EvaluationStore

    return EvaluationStore.exists(path)


def _has_begun(folder: str) -> bool:
    """Return whether the evaluation in a folder has started a run."""
    from stepflow_client._command import Journal
    from stepflow_client.evaluation.store import EvaluationStore

    with EvaluationStore(folder, is_new=True) as store:
        if any(store.read_ended(number) for number in store.variants.values()):
            return True
    for path in Path(folder, "runs").glob("*.journal"):
        with closing(Journal(path)) as journal:
            if journal.has_begun():
                return True
    return False


def classify_output_paths(paths: Iterable[str]) -> OutputPaths:
    """Return the folder and the files that the values of `--output` name.

    Raises:
        Problem: If there are two folders.
    """
    folders, reports = [], []
    for path in paths:
        ending = "" if path.endswith(("/", os.sep)) else path.lower().rpartition(".")[2]
        if ending in _KINDS and not os.path.isdir(path):
            reports.append((_KINDS[ending], path))
        else:
            folders.append(path)
    if len(folders) > 1:
        raise usage(f"--output names two folders: {folders[0]} and {folders[1]}")
    return OutputPaths(next(iter(folders), None), reports)


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
