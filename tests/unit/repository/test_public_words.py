"""Each word has one meaning in the public modules and the command: see CONTRIBUTING.md, "Terminology"."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import griffe

from scripts import public_surface

ROOT = Path(__file__).parents[3]
RULES = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


class Argument(NamedTuple):
    """An argument of a public function or method."""

    of: str
    name: str
    annotation: str

    @property
    def place(self) -> str:
        return f"{self.of}({self.name}=)"


@cache
def functions() -> dict[str, Any]:
    """Return the public functions and methods by name, as griffe reads them."""
    result = {}
    for name, each in public_surface.public_objects().items():
        if each.is_function:
            result[name] = each
        elif each.is_class:
            members = public_surface.public_members(each).items()
            result |= {f"{name}.{member}": of for member, of in members if of.is_function}
    return result


@cache
def arguments() -> tuple[Argument, ...]:
    """Return the arguments of all public functions and methods, and the options that forwarders pass on."""
    result = [
        Argument(name, each.name, str(each.annotation or ""))
        for name, function in functions().items()
        for each in function.parameters
        if not each.name.startswith("_")
    ]
    result += [
        Argument(name, member, str(each.annotation))
        for name, of in classes().items()
        if name.endswith(("Options", "Filters"))
        for member, each in public_surface.public_members(of).items()
        if each.is_attribute
    ]
    return tuple(result)


@cache
def classes() -> dict[str, Any]:
    return {name: each for name, each in public_surface.public_objects().items() if each.is_class}


@cache
def attributes() -> tuple[Argument, ...]:
    """Return the public attributes of all public classes."""
    return tuple(
        Argument(name, member, str(each.annotation or ""))
        for name, of in classes().items()
        for member, each in public_surface.public_members(of).items()
        if each.is_attribute
    )


def is_a(kind: str, annotation: str) -> bool:
    return re.search(rf"(?<![\w.]){kind}\b", annotation) is not None


class Rule(NamedTuple):
    """Names to avoid for a kind of value, because another name has this meaning."""

    names: str
    kind: str
    """A type in the annotation; empty for any."""
    preferred: str


WORDS = (
    Rule(r"seconds|durations?_seconds|elapsed|took|time", "float", "duration, delay"),
    Rule(r"left|eta|time_left", "float", "remaining"),
    Rule(r"ttl|older_than|expire\w*|max_days", "", "max_age"),
    Rule(r"(is|was|has)_(final|over|done|ended)|final|over|ended_\w+", "", "is_finished, finished_..."),
    Rule(r"to_record|as_dict|asdict|model_dump|dict|json", "", "to_dict"),
    Rule(r"times|durations|schemas|(in|out)puts|details|results|steps|workers|servers|sub_runs", "bool", "include_..."),
    Rule(r"n|count|most|top|max_results", "int", "limit"),
    Rule(r"step|step_name", "str", "step_id"),
    Rule(r"item|index_of_item", "int", "item_index"),
    Rule(r"env|environ|environment", "str", "env_var"),
    Rule(r"before|after|from|to", "datetime", "since, until"),
    Rule(r"check|validate|lint", "bool", "check_input"),
)
BY_ARGUMENT = (
    Rule(r"cursor|from_cursor|last_cursor", "str", "after"),
    Rule(r"since|until", "int", "after"),
    Rule(r"\w*path|\w*file|folder", "Path", "a path as str | os.PathLike[str]"),
    Rule(r"before|than|compared_with|against", "str", "baseline, until"),
    Rule(r"server", r"tuple|int", "server_release"),
    Rule(r"release|server_version", "", "server_release, target"),
    Rule(r"key", "str", "idempotency_key"),
)
"""Rules that apply to arguments only."""
ALLOWED = {
    "StepflowRuntime.start(env=)": "the variables of a process, as for `subprocess`",
    "authoring.item(key=)": "the key of an object, or the index of a list",
    "authoring.each(step=)": "`step=` names the new step in every function that creates one",
    "authoring.iterate(step=)": "`step=` names the new step in every function that creates one",
}
"""Names that break a rule, with the reason."""


def test_a_word_has_one_meaning() -> None:
    violations = {}
    checked = [each for each in arguments() if not each.of.endswith("__init__")]
    for places, rules in (([*checked, *attributes()], WORDS), (checked, BY_ARGUMENT)):
        for each, rule in product(places, rules):
            if re.fullmatch(rule.names, each.name) and is_a(rule.kind, each.annotation):
                place = each.place if each in checked else f"{each.of}.{each.name}"
                violations[place] = rule.preferred
    for name in functions():
        preferred_names = [
            rule.preferred for rule in WORDS if not rule.kind and re.fullmatch(rule.names, name.rpartition(".")[2])
        ]
        violations |= dict.fromkeys([name] * bool(preferred_names), *preferred_names)
    assert {place: preferred for place, preferred in violations.items() if place not in ALLOWED} == {}
    assert violations.keys() == ALLOWED.keys()


TYPES = {
    "variables": "Variables(T)?",
    "flow": "FlowSource",
    "labels": "Mapping",
    "progress": "ProgressOption",
    "flow_id": "FlowId",
    r"(\w+_)?run_id": "RunId",
    "idempotency_key": r"str|Callable",
    r"\w*timeout|max_age|duration|delay": "float",
    r"is_\w+|include_\w+|check_input": "bool",
    "status": r"ExecutionStatus \| str",
}
"""The required type of arguments by name."""
OTHER_TYPES = {
    "History.record(flow=)": "the content of the flow",
    "History.record(flow_id=)": "the id itself",
    "History.record(variables=)": "the values themselves",
    "authoring.Flow.case(variables=)": "what `variables` of the flow returns",
    "authoring.Flow.variables(variables=)": "the keyword arguments of the flow's function",
    "authoring.Flow.result(run_id=)": "annotated by its overloads",
    "flow_models.TypedFlow.result(run_id=)": "annotated by its overloads",
    "testing.pinned_flow(flow=)": "the content of the flow",
    **dict.fromkeys((f"testing.Recording.{each}(flow=)" for each in ("add", "forget", "outcome", "steps")), "a path"),
}
"""Arguments of another type, with the reason."""


def test_arguments_with_the_same_name_have_the_same_type() -> None:
    exceptions = {
        each.place
        for each, (name, kind) in product(arguments(), TYPES.items())
        if re.fullmatch(name, each.name) and not is_a(kind, each.annotation) and not each.of.endswith("__init__")
    }
    assert exceptions == OTHER_TYPES.keys()


ENUMS = r"ExecutionStatus|ErrorCode|RestartPolicy|DiagnosticLevel"


def test_enum_arguments_accept_strings_too() -> None:
    enum_arguments = [each for each in arguments() if is_a(ENUMS, each.annotation) and not each.of.endswith("__init__")]
    assert enum_arguments
    assert [each.place for each in enum_arguments if not is_a("str", each.annotation)] == []


WITHOUT_TIMEOUT = {
    "StepflowExecutor.list_components": "part of the minimal executor protocol",
    "StepflowExecutor.validate": "part of the minimal executor protocol",
    "OutcomeStream.chunks": "`timeout=` of `map`",
    "OutcomeStream.to_dataframe": "`timeout=` of `map`",
    "StepflowRuntime.await_ready": "`startup_timeout` of the runtime",
    "evaluation.evaluate": "an evaluation with a journal may be stopped at any time and resumed with the same call",
    "evaluation.history_cases": "each request has the client's timeout; there may be thousands",
    "read_inputs": "no request",
    "tools.FlowTool.call": "`max_wait`, after which the result says that the run continues",
    "tools.FlowTools.call": "`max_wait`, after which the result says that the run continues",
    "web.sse_events": "as long as the browser's connection",
    **dict.fromkeys(("RunHandle.logs", "SyncRunHandle.logs"), "no request"),
}
"""Functions without a timeout that send requests, or seem to, with the reason."""


def test_functions_that_send_requests_have_a_timeout() -> None:
    without_timeout = set()
    for name, function in functions().items():
        parameters = {each.name: str(each.annotation) for each in function.parameters}
        sends = "async" in function.labels or "client" in parameters or re.search("Stream|Pager", str(function.returns))
        is_forwarder = any(
            each.startswith(("Unpack[", "Any")) for key, each in parameters.items() if key in ("options", "filters")
        )
        if sends and "timeout" not in parameters and not is_forwarder and not name.endswith((".__init__", "close")):
            without_timeout.add(name.replace("sync_", "").replace("Sync", ""))
    assert without_timeout == {each.replace("Sync", "") for each in WITHOUT_TIMEOUT}


WITHOUT_DICT = {
    **dict.fromkeys(
        ("authoring.ItemResult", "authoring.Iterated", "authoring.MapOutput"), "values in a flow in Python"
    ),
    **dict.fromkeys(("testing.Delayed", "testing.Fails", "testing.FlowTests", "testing.TestConfig"), "an argument"),
    **dict.fromkeys(("Keep", "LogConfig", "RetryPolicy", "evaluation.Variant", "flow_models.TypedFlow"), "an argument"),
    **dict.fromkeys(("drawing.Drawing", "drawing.RunReport", "evaluation.Score"), "it has methods of its own"),
    **dict.fromkeys(("web.EventResponse", "web.Problem", "web.SyncEventResponse"), "the parts of a response over HTTP"),
}
"""Dataclasses without `to_dict`, with the reason."""


def test_results_have_to_dict() -> None:
    data_classes = {
        name: each for name, each in classes().items() if "dataclass" in each.labels or "run_id" in each.members
    }
    data_classes = {
        name: each for name, each in data_classes.items() if not name.endswith(("Options", "Error", "Handle"))
    }
    assert len(data_classes) > 30
    assert {name for name, each in data_classes.items() if "to_dict" not in each.all_members} == WITHOUT_DICT.keys()


def classes_in(expression: Any, package: Any) -> Iterator[Any]:
    """Yield the package's classes that an annotation names, directly or through type aliases."""
    parts = expression.iterate(flat=True) if isinstance(expression, griffe.Expr) else ()
    for each in parts:
        path = each.canonical_path.removeprefix("stepflow_client.") if isinstance(each, griffe.ExprName) else ""
        try:
            target = package[path] if path and path != each.canonical_path else None
        except KeyError:
            # Part of a ParamSpec, such as `P.args`.
            continue
        target = target.final_target if target is not None and target.is_alias else target
        if target is not None and target.is_class:
            yield target
        elif target is not None and target.is_attribute:
            yield from classes_in(target.value, package)


def annotations() -> Iterator[tuple[str, Any]]:
    """Yield the annotations of all public arguments, return values and attributes."""
    for name, of in functions().items():
        yield name, of.returns
        yield from ((name, each.annotation) for each in of.parameters if not each.name.startswith("_"))
    for name, of in classes().items():
        members = public_surface.public_members(of).items()
        yield from ((f"{name}.{member}", each.annotation) for member, each in members if each.is_attribute)


def test_signatures_name_public_classes_only() -> None:
    public = public_surface.public_objects()
    package = public["StepflowClient"].package
    annotated = list(annotations())
    assert len(annotated) > 2_000
    paths = {each.path for each in public.values()}
    private = defaultdict(set)
    for name, annotation in annotated:
        for each in classes_in(annotation, package):
            # A protocol may be private: users implement it without importing it.
            if each.path not in paths and "Protocol" not in map(str, each.bases):
                private[each.path].add(name)
    assert private == {}


OPTIONS = {
    "--ttl": "--max-age",
    "--older-than": "--max-age",
    "--before": "--until",
    "--cursor": "--after",
    "--seconds": "--timeout, or a value with a unit",
    "--times": "--include-times",
    "--results": "--include-results",
    "--sub-runs": "--include-sub-runs",
    "--server-version": "--target",
    "--env-variables": "--variables-from-env",
    "--wait-timeout": "--timeout",
    "--count": "--limit",
    "--max-results": "--limit",
    "--out": "--output",
    "--file": "--output",
    "--output-file": "--output",
    "--step-id": "--step",
    "--item-index": "--item",
    "--no-wait": "--detach",
    "--background": "--detach",
}
"""Options that no command has, with the option to use instead."""


def test_an_option_has_one_name() -> None:
    used = set()
    for command, _, names in (line.partition(" -") for line in public_surface.command_lines()):
        used |= {(command, each) for each in f"-{names}".split(" ")[0].split("/") if each in OPTIONS}
    # This command does not detach: it prints the available results without waiting.
    assert used == {("stepflow runs result", "--no-wait")}


def test_the_documented_modules_and_terms_exist() -> None:
    listed = re.search(
        r"and of its modules (.*?), with their", (ROOT / "docs/stability.md").read_text("utf-8"), re.DOTALL
    )
    assert listed is not None
    assert sorted(re.findall(r"`(\w+)`", listed[1])) == sorted(public_surface.PUBLIC_MODULES)
    table = RULES.partition("| word | meaning |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    words = [re.findall(r"`(\w+)[=(.`]", row) for row in rows]
    assert all(words)
    assert len(rows) == len({*map(str, words)})
    known = {each.name for each in (*arguments(), *attributes())} | {name.rpartition(".")[2] for name in functions()}
    missing = {word for row in words for word in row if not any(each.startswith(word) for each in known)}
    assert missing == set()
