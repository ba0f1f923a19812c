"""The options of `stepflow eval`, including variants and scores. Conflicting options are detected here."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Problem, suggest, usage
from ..inputs.command_line_values import RunValues, ValueArgument
from ..inputs.file_io import DATA_SUFFIXES
from ..inputs.flow_loading import get_session_project_modules, load_flow_argument, load_flow_unless_id

if TYPE_CHECKING:
    from stepflow_client.evaluation import Variant
    from stepflow_client.evaluation.gates import GateRules, Limit

_NAMED_VALUE = re.compile(r"(?P<name>[^\W\d][\w.-]*)=(?P<rest>.+)", re.DOTALL)
BUILTIN_SCORES = {
    "exact": "exact[:PATH]",
    "contains": "contains[:PATH[:TEXT]]",
    "regex": "regex:PATH:PATTERN",
    "json_distance": "json_distance[:PATH]",
    "close": "close:PATH:0.01 or close:PATH:5%",
    "schema_valid": "schema_valid:PATH:FILE",
    "latency": "latency",
    "output_field": "output_field:PATH[:lower]",
    "usage": "usage[:PATH]",
    "rubric": "rubric:TEXT",
}
"""The built-in scores and their syntax."""


def load_scores(words: Iterable[str]) -> dict[str, Any]:
    """Return the scores by name.

    Raises:
        Problem: If a score is unknown, a file can't be imported, or two scores have the same name.
        FlowFileError: If a flow or schema file can't be read.
    """
    from stepflow_client.evaluation.scorer_calls import build_scorers

    scores: dict[str, Any] = {}
    for word in words:
        named = _NAMED_VALUE.fullmatch(word)
        name, text = (named["name"], named["rest"]) if named is not None else ("", word)
        listed = [(own_name or build_scorers([score])[0].name, score) for own_name, score in _parse_score_option(text)]
        for own_name, score in listed:
            key = f"{name}.{own_name}" if name and len(listed) > 1 else name or own_name
            if key in scores:
                raise usage(f"two scores are called {key}", f"give one of them a different name: --score NAME={text}")
            scores[key] = score
    return scores


def _parse_score_option(text: str) -> Iterator[tuple[str, Any]]:
    """Yield (name, score) pairs for an argument. The name is "" if the score has its own name."""
    from stepflow_client import InvalidArgumentError
    from stepflow_client.evaluation import FlowScore

    kind, _, rest = text.partition(":")
    if kind in BUILTIN_SCORES and not os.path.lexists(text):
        path, colon, argument = (rest, "", "") if kind == "rubric" else rest.partition(":")
        try:
            score = _build_builtin_score(kind, path, argument if colon else None)
        except InvalidArgumentError as error:
            raise usage(f"--score {text}: {error.message}", error.hint) from None
        if score is None:
            raise usage(f"--score {text}: this score is written as {BUILTIN_SCORES[kind]}")
        yield "", score
    elif text.lower().endswith(DATA_SUFFIXES):
        flow = load_flow_argument(text)
        yield "", FlowScore(flow, name=None if flow.get("name") else os.path.basename(text).partition(".")[0])
    else:
        source, _, name = text.rpartition(":") if ":" in text else (text, "", "")
        yield from _import_scores(source, name, text)


def _build_builtin_score(kind: str, path: str, argument: str | None) -> Any:
    """Return a built-in score, or None if its argument is missing or malformed."""
    from stepflow_client.evaluation import rubric, scores
    from stepflow_client.flows.reading import load_file

    match kind:
        case "exact" | "json_distance" | "usage" if argument is None:
            return getattr(scores, kind)(path)
        case "rubric" if path:
            return rubric(path)
        case "contains":
            return scores.contains(path, argument)
        case "regex" if argument is not None:
            return scores.regex(argument, path)
        case "close" if argument is not None:
            try:
                size = float(argument.strip().removesuffix("%"))
            except ValueError:
                return None
            is_relative = argument.strip().endswith("%")
            return scores.close(path, relative=size / 100) if is_relative else scores.close(path, absolute=size)
        case "schema_valid" if argument:
            return scores.schema_valid(load_file(argument), path)
        case "latency" if not path and argument is None:
            return scores.latency()
        case "output_field" if path and argument in (None, "lower"):
            return scores.output_field(path, lower_is_better=argument == "lower")
    return None


def _import_scores(source: str, name: str, word: str) -> Iterator[tuple[str, Any]]:
    try:
        module = get_session_project_modules().import_module(source)
    except Problem as problem:
        known = suggest(source, BUILTIN_SCORES)
        if known is None and not source.endswith(".py"):
            known = f"built-in scores are {', '.join(BUILTIN_SCORES)}; for your own, pass a file: --score scores.py"
        problem.hint = known if "no module named" in problem.message else problem.hint
        problem.message = f"--score {word}: {problem.message}"
        raise
    if not name:
        functions = _get_listed_or_public_scores(module)
        if not functions:
            hint = "define a function of input, output and expected whose name does not start with _"
            raise usage(f"{source} has no score: it defines no public function", hint)
        yield from functions
        return
    if not hasattr(module, name):
        names = list(_find_module_scores(module))
        raise usage(f"{source} has no score {name}", suggest(name, names) or f"it has {', '.join(names) or 'none'}")
    yield name, getattr(module, name)


def _get_listed_or_public_scores(module: ModuleType) -> list[tuple[str, Any]]:
    """Return the module's `scores` (a list or mapping) if it has them, or else its public functions and scores."""
    listed = getattr(module, "scores", None)
    if isinstance(listed, Mapping):
        return [(str(name), score) for name, score in listed.items()]
    if isinstance(listed, (list, tuple)):
        return [("", score) for score in listed]
    return [("", score) for name, score in _find_module_scores(module).items() if not name.startswith("_")]


def _find_module_scores(module: ModuleType) -> dict[str, Any]:
    """Return a module's scores by name, ignoring functions that it imports."""
    from stepflow_client.evaluation import FlowScore
    from stepflow_client.evaluation.scorer_calls import is_evaluator
    from stepflow_client.evaluation.scores import Score

    def is_score(value: Any) -> bool:
        if isfunction(value):
            return value.__module__ == module.__name__
        return isinstance(value, (Score, FlowScore)) or is_evaluator(value)

    return {name: value for name, value in vars(module).items() if is_score(value)}


_VARIANT_NAME = re.compile(r"\w[\w.\- ]*")
_VARIANT_FORMS = "NAME, NAME:VARIABLE=VALUE, NAME:STEP.input.KEY=VALUE or NAME=FLOW"


@dataclass
class _VariantDescription:
    """A variant as described by one or more `--variant` options."""

    flow: str | None = None
    variables: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)


def build_variants(words: Iterable[str], flow: Mapping[str, Any]) -> dict[str, Variant] | None:
    """Return the variants by name in the order in which they are first mentioned, or None if there are no variants.

    Args:
        words: The `--variant` values.
        flow: The flow that the variants change.

    Raises:
        Problem: If an argument is malformed or refers to an invalid flow, variable or step.
        FlowFileError: If a flow file can't be read.
    """
    from stepflow_client._command import unify_overrides
    from stepflow_client.evaluation import Variant

    variants = {}
    for name, parts in _parse_variant_options(words).items():
        own_flow = None if parts.flow is None else _load_variant_flow(name, parts.flow)
        varied = flow if own_flow is None else own_flow
        arguments = [ValueArgument(f"--variant {name}", "set", override) for override in parts.overrides]
        values = RunValues(single_variables=parts.variables, overrides=arguments)
        overrides = unify_overrides(values.read_overrides(varied))
        variants[name] = Variant(flow=own_flow, variables=values.read_variables(varied), overrides=overrides)
    return variants or None


def get_flow_arguments_by_variant(words: Iterable[str], flow: str) -> dict[str, str]:
    """Return each variant's flow by variant name, as written on the command line."""
    return {name: parts.flow or flow for name, parts in _parse_variant_options(words).items()}


def _parse_variant_options(words: Iterable[str]) -> dict[str, _VariantDescription]:
    variants: dict[str, _VariantDescription] = {}
    for word in words:
        # The name ends at the first `:` or `=`.
        end = next((place for place, letter in enumerate(word) if letter in ":="), len(word))
        name, sign, rest = word[:end].strip(), word[end : end + 1], word[end + 1 :]
        if not _VARIANT_NAME.fullmatch(name):
            fault = f": a variant name may have letters, digits, spaces and -._, so {name!r} is invalid"
            raise usage(f"--variant {word!r}{fault if name else ' has no name'}", f"write {_VARIANT_FORMS}")
        variant = variants.setdefault(name, _VariantDescription())
        if sign == "=":
            if not rest:
                hint = f"use {name}=FLOW for another flow, {name} for the flow as is"
                raise usage(f"--variant {name}= has no flow", hint)
            if variant.flow not in (None, rest):
                hint = "give one of them a different name: NAME=FLOW"
                raise usage(f"variant {name} has two flows: {variant.flow} and {rest}", hint)
            variant.flow = rest
        elif sign == ":":
            key, equals, _ = rest.partition("=")
            if not equals or not key.strip():
                missing = "no name before =" if equals else "no ="
                raise usage(f"--variant {word!r} sets nothing: {rest!r} has {missing}", f"write {_VARIANT_FORMS}")
            (variant.overrides if "." in key else variant.variables).append(rest)
    return variants


def _load_variant_flow(name: str, word: str) -> Mapping[str, Any]:
    """Load a variant's flow.

    Raises:
        Problem: If the flow doesn't exist. The hint explains what to do if a variable's value was mistaken for a flow.
    """
    try:
        flow = load_flow_unless_id(word)
    except Problem as problem:
        problem.message = f"variant {name}: {problem.message}"
        if "/" not in word and "." not in word:
            problem.hint = f"to set a variable, use --variant {shlex.quote(f'NAME:{name}={word}')}"
        raise
    if isinstance(flow, str):
        hint = f"to write it to a file, run 'stepflow flows get {word} -O {name}.yaml'"
        raise usage(f"variant {name} is the ID of a stored flow, not a file", hint)
    return flow


_FOLDER_HINT = "an evaluation's folder is the one passed to --output"
_HISTORY_PREFIX = "history:"
# The kind of report to write, by file extension.
_KIND_BY_EXTENSION = {"html": "html", "htm": "html", "xml": "junit", "json": "json", "jsonl": "cases"}
FAILED_SCORE = "failed"
"""The score that every evaluation has: the share of items that didn't complete."""


class OutputPaths(NamedTuple):
    """The `--output` paths."""

    folder: str | None = None
    """The folder in which the evaluation is stored."""
    reports: Sequence[tuple[str, str]] = ()
    """The report files, as (kind, path) pairs."""


class EvalOptions(NamedTuple):
    """The options of an evaluation."""

    flow: str
    """The flow, the folder of an earlier evaluation, or a folder of several evaluations."""
    cases: str | None
    cases_format: str | None
    expected: str
    limit: int | None
    variants: Sequence[str]
    scores: Sequence[str]
    repeat: int
    check: bool
    values: RunValues
    max_concurrency: int | None
    max_scores: int
    retry: dict[str, Any]
    """Retry options for `map`."""
    labels: dict[str, str]
    resume: bool
    files: OutputPaths
    baseline: str | None
    slice_by: str | None
    worst: Limit | None

    @property
    def history_cases_query(self) -> str | None:
        """The query that selects recorded runs to use as cases, or None if the cases come from elsewhere."""
        is_query = self.cases is not None and self.cases.startswith(_HISTORY_PREFIX) and not os.path.exists(self.cases)
        return self.cases.removeprefix(_HISTORY_PREFIX).strip() if self.cases is not None and is_query else None

    @property
    def shows_earlier_evaluation(self) -> bool:
        """True if FLOW is the folder of an earlier evaluation."""
        return is_evaluation_folder(self.flow)

    @property
    def shows_several_evaluations(self) -> bool:
        """True if FLOW is a folder that contains several evaluations."""
        if self.shows_earlier_evaluation or not os.path.isdir(self.flow):
            return False
        return any(map(is_evaluation_folder, Path(self.flow).iterdir()))

    def build_needs_single_evaluation_problem(self, option: str) -> Problem:
        """Return a problem for an option that needs a single evaluation when FLOW is a folder of several."""
        return usage(f"{self.flow} has several evaluations: {option} needs a single one", "name its folder")

    def check_options(self, gate_rules: GateRules) -> None:
        """Check for conflicting options and unusable folders before anything runs.

        Args:
            gate_rules: The gates' limits.

        Raises:
            Problem: If the options conflict or a folder can't be used.
        """
        from ..output.printing import Output

        if self.resume and self.files.folder is None:
            raise usage("--resume needs --output FOLDER: it continues the evaluation in it")
        if any(kind == "cases" for kind, _ in self.files.reports) and self.worst is None:
            raise usage("a .jsonl file keeps the worst cases: --output FILE.jsonl needs --worst N")
        if self.baseline is not None and not is_evaluation_folder(self.baseline):
            raise usage(f"--baseline {self.baseline}: no evaluation in this folder", _FOLDER_HINT)
        if self.shows_earlier_evaluation or self.shows_several_evaluations:
            unused = {
                "--cases": self.cases,
                "--variant": self.variants,
                "--score": self.scores,
                "--resume": self.resume,
                "--output FOLDER": self.files.folder,
            }
            for name in (name for name, value in unused.items() if value):
                message = f"{self.flow} is an evaluation, which is only shown again: {name} has no effect here"
                raise usage(message, "to continue it, run the same command as before with --resume")
            of_one = {
                "--baseline": self.baseline,
                "--fail-below": gate_rules.below,
                "--tolerance": gate_rules.tolerances,
                "--strict": gate_rules.strict,
                "--slice": self.slice_by,
                "--worst": self.worst,
                "--output FILE.xml": any(kind == "junit" for kind, _ in self.files.reports),
            }
            for name in (name for name, value in of_one.items() if value and self.shows_several_evaluations):
                raise self.build_needs_single_evaluation_problem(name)
        elif os.path.isdir(self.flow):
            raise usage(f"{self.flow} is a folder without an evaluation", f"FLOW is a file; {_FOLDER_HINT}")
        elif self.files.folder is not None:
            self._check_or_clear_output_folder(self.files.folder)
        for _, path in self.files.reports:
            Output(path=path).check_file_writable()

    def _check_or_clear_output_folder(self, folder: str) -> None:
        if os.path.lexists(folder) and not os.path.isdir(folder):
            hint = "a report file ends with .html, .json, .xml (JUnit) or .jsonl (the worst cases)"
            raise usage(f"--output {folder} is a file, not a folder", hint)
        if is_evaluation_folder(folder):
            if not _has_evaluation_started_runs(folder):
                # The flow or cases must have been invalid the last time, so start over.
                for path in (*Path(folder).glob("evaluation.db*"), *Path(folder, "runs").glob("*.journal*")):
                    path.unlink()
                with suppress(OSError):
                    # This fails if the folder contains anything else.
                    Path(folder, "runs").rmdir()
            elif not self.resume:
                hint = "use --resume to continue it or to compute new scores; otherwise name a different folder"
                raise usage(f"{folder} already has an evaluation", hint)
        elif os.path.isdir(folder) and os.listdir(folder):
            raise usage(f"{folder} is not empty and has no evaluation", "name a new folder")


def is_evaluation_folder(path: str | Path) -> bool:
    """Return True if a path is the folder of an evaluation."""
    if not os.path.isdir(path):
        return False
    from stepflow_client.evaluation.store import EvaluationStore

    return EvaluationStore.exists(path)


def _has_evaluation_started_runs(folder: str) -> bool:
    """Return True if the evaluation in a folder has started any runs."""
    from stepflow_client._command import Journal
    from stepflow_client.evaluation.store import EvaluationStore

    with EvaluationStore(folder, is_new=True) as store:
        if any(store.read_block_lengths(number) for number in store.variants.values()):
            return True
    for path in Path(folder, "runs").glob("*.journal"):
        with closing(Journal(path)) as journal:
            if journal.has_begun_any_chunk():
                return True
    return False


def split_folder_and_report_paths(paths: Iterable[str]) -> OutputPaths:
    """Separate the folder from the report files in the `--output` values.

    `-` is ignored, because the report is printed to standard output anyway.

    Raises:
        Problem: If there are two folders.
    """
    folders, reports = [], []
    for path in (path for path in paths if path != "-"):
        ending = "" if path.endswith(("/", os.sep)) else path.lower().rpartition(".")[2]
        if ending in _KIND_BY_EXTENSION and not os.path.isdir(path):
            reports.append((_KIND_BY_EXTENSION[ending], path))
        else:
            folders.append(path)
    if len(folders) > 1:
        raise usage(f"--output names two folders: {folders[0]} and {folders[1]}")
    return OutputPaths(next(iter(folders), None), reports)


def parse_score_limits(words: Iterable[str], option: str, *, needs_score: bool = True) -> list[Limit]:
    """Parse an option's limits.

    Raises:
        Problem: If a limit is malformed.
    """
    return [_parse_score_limit(word, option, needs_score=needs_score) for word in words]


def _parse_score_limit(word: str, option: str, *, needs_score: bool = False) -> Limit:
    """Parse a limit and the score and variant that it applies to: `[[VARIANT:]SCORE=]NUMBER`.

    Raises:
        Problem: If the limit is malformed.
    """
    named, equals, text = word.rpartition("=")
    variant, colon, score = named.partition(":")
    score = score if colon else named
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise usage(f"{option} {word}: {text!r} is not a number", f"write it as {option} exact=0.9")
    if (equals and not score) or (needs_score and not equals) or (colon and not variant):
        raise usage(f"{option} {word} does not name a score", f"write it as {option} exact={text}")
    from stepflow_client.evaluation.gates import Limit

    return Limit(score or None, number, variant if colon else None)


def parse_worst_cases(word: str) -> Limit:
    """Parse the number of worst cases to print and the score that ranks them.

    Raises:
        Problem: If the value is malformed.
    """
    worst = _parse_score_limit(word, "--worst")
    if worst.number < 1 or worst.number != int(worst.number):
        raise usage(f"--worst {word}: {worst.number:g} is not a number of cases", "write it as --worst 20")
    return worst


def check_gate_names(gate_rules: GateRules, scores: Iterable[str], variants: Iterable[str]) -> None:
    """Check the names of scores and variants before anything runs.

    Some score names aren't known until the evaluation has run, so they can't be checked here.

    Raises:
        Problem: If a score or variant doesn't exist. The hint suggests the most similar name.
    """
    score_names, variant_names = [*scores, FAILED_SCORE], [*variants]
    for option, limits in (("--fail-below", gate_rules.below), ("--tolerance", gate_rules.tolerances)):
        for limit in limits:
            name = limit.score or FAILED_SCORE
            if not any(name == score or name.startswith((f"{score}.", f"{score}=")) for score in score_names):
                longer = [score for score in score_names if score.startswith(f"{name}.")]
                near = f"did you mean {longer[0]}?" if longer else suggest(name, score_names)
                raise usage(f"{option}: unknown score {name}", near or f"the scores are {', '.join(score_names)}")
            if limit.variant is not None and limit.variant not in variant_names:
                hint = suggest(limit.variant, variant_names) or f"the variants are {', '.join(variant_names)}"
                raise usage(f"{option}: unknown variant {limit.variant}", hint)
