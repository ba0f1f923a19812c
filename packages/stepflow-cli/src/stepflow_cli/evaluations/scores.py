"""The scores that a command line names, as `--score` has them.

    exact:category                a built-in score, of a part of the output
    close:price:0.01              with what it takes besides: a tolerance, a text, a pattern, a schema
    scores.py                     the functions of a file; scores.py:polite is one of them
    judge.yaml                    a flow that gets {input, output, expected}

`NAME=` before any of them gives it another name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from inspect import isfunction
from types import ModuleType
from typing import Any

from ..errors import Problem, suggest, usage
from ..inputs.files import DATA_SUFFIXES
from ..inputs.flow import load_flow_file
from ..inputs.python_flow import get_project_modules

_NAMED = re.compile(r"(?P<name>[^\W\d][\w.-]*)=(?P<rest>.+)", re.DOTALL)
BUILTIN = {
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
"""The built-in scores, and how they are written."""


def read_scores(words: Iterable[str]) -> dict[str, Any]:
    """Return the scores by name.

    Raises:
        Problem: If a word names no score, if a file cannot be imported, or if two scores have the same name.
        FlowFileError: If the file of a flow or of a schema cannot be read.
    """
    from stepflow_client.evaluation.scorers import build_scorers

    scores: dict[str, Any] = {}
    for word in words:
        named = _NAMED.fullmatch(word)
        name, text = (named["name"], named["rest"]) if named is not None else ("", word)
        listed = [(own_name or build_scorers([score])[0].name, score) for own_name, score in _parse_score(text)]
        for own_name, score in listed:
            key = f"{name}.{own_name}" if name and len(listed) > 1 else name or own_name
            if key in scores:
                raise usage(f"two scores are called {key}", f"give one of them another name: --score NAME={text}")
            scores[key] = score
    return scores


def _parse_score(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the scores that a word names; each with its name, if it does not have one itself."""
    from stepflow_client import InvalidArgumentError
    from stepflow_client.evaluation import FlowScore

    kind, _, rest = text.partition(":")
    if kind in BUILTIN and not os.path.lexists(text):
        path, colon, argument = (rest, "", "") if kind == "rubric" else rest.partition(":")
        try:
            score = _build_builtin(kind, path, argument if colon else None)
        except InvalidArgumentError as error:
            raise usage(f"--score {text}: {error.message}", error.hint) from None
        if score is None:
            raise usage(f"--score {text}: this score is written as {BUILTIN[kind]}")
        yield "", score
    elif text.lower().endswith(DATA_SUFFIXES):
        flow = load_flow_file(text)
        yield "", FlowScore(flow, name=None if flow.get("name") else os.path.basename(text).partition(".")[0])
    else:
        source, _, name = text.rpartition(":") if ":" in text else (text, "", "")
        yield from _import_scores(source, name, text)


def _build_builtin(kind: str, path: str, argument: str | None) -> Any:
    """Return a built-in score; None if its argument is missing or has another form."""
    from stepflow_client.evaluation import rubric, scores
    from stepflow_client.flows.file import load_file

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
        module = get_project_modules().load(source)
    except Problem as problem:
        known = suggest(source, BUILTIN)
        if known is None and not source.endswith(".py"):
            known = f"built-in scores are {', '.join(BUILTIN)}; your own are functions in a file: --score scores.py"
        problem.hint = known if "there is no module" in problem.message else problem.hint
        problem.message = f"--score {word}: {problem.message}"
        raise
    if not name:
        functions = _list_scores(module)
        if not functions:
            raise usage(
                f"{source} has no score: it defines no public function",
                "write a function of input, output and expected, whose name does not begin with _",
            )
        yield from functions
        return
    if not hasattr(module, name):
        names = [key for key, var in vars(module).items() if _is_own_score(var, module.__name__)]
        raise usage(f"{source} has no score {name}", suggest(name, names) or f"it has {', '.join(names) or 'none'}")
    yield name, getattr(module, name)


def _list_scores(module: ModuleType) -> list[tuple[str, Any]]:
    """Return the scores of a module: those that its list `scores` names, else its public functions and scores."""
    listed = getattr(module, "scores", None)
    if isinstance(listed, Mapping):
        return [(str(name), each) for name, each in listed.items()]
    if isinstance(listed, (list, tuple)):
        return [("", each) for each in listed]
    return [
        ("", var)
        for name, var in vars(module).items()
        if not name.startswith("_") and _is_own_score(var, module.__name__)
    ]


def _is_own_score(value: Any, module: str) -> bool:
    from stepflow_client.evaluation import FlowScore
    from stepflow_client.evaluation.scorers import is_evaluator
    from stepflow_client.evaluation.scores import Score

    if isfunction(value):
        return value.__module__ == module
    return isinstance(value, (Score, FlowScore)) or is_evaluator(value)
