"""The options of commands that run a flow: the flow, its input, variables and overrides."""

from __future__ import annotations

from typing import Any

import click

from ..completion.candidates import (
    complete_examples,
    complete_flow_files,
    complete_overrides,
    complete_steps,
    complete_variables,
)
from ..context import current_session
from ..errors import ARGUMENTS, usage
from ..inputs.flow import project_flows
from ..inputs.values import Form, Given, Values
from ..runs.job import Caching, JobOptions, Retry, Reuse
from .batch import inputs_option, retry_options, stream_options
from .labels import label_option, labels_of
from .options import Decorator, Function, option_in, together
from .parsing import FILE, Choice, given_order
from .run_ids import run_id_option
from .times import duration_option


def flow_argument(function: Function) -> Function:
    """Add `FLOW` and `--flow FILE`; the command gets `flow`: a file name (`-` is standard input) or a flow id."""

    def build(flow: str | None, flow_option: str | None) -> str:
        current = None if flow or flow_option else current_session().flow
        if current is None and (flow is None) == (flow_option is None):
            is_twice = flow is not None
            hint = f"the argument is {flow}, --flow names {flow_option}" if is_twice else ARGUMENTS["FLOW"]
            raise usage("give one flow, as FLOW or with --flow", hint)
        return flow or flow_option or current or ""

    decorate = together(
        "flow",
        build,
        click.argument("flow", required=False, metavar="FLOW", shell_complete=complete_flow_files),
        option_in(
            "--flow",
            "flow_option",
            section="Flow",
            metavar="FILE",
            shell_complete=complete_flow_files,
            help="The flow, instead of FLOW.",
        ),
    )
    return decorate(function)  # type: ignore[return-value]


NO_FLOW = "give at least one flow file, as FLOW or with --flow"
"""The error if no flow is given, and none of the project is taken."""


def flows_argument(*, of_project: bool, is_needed: bool = True) -> Decorator:
    """Return a decorator that adds `FLOW...` and `--flow FILE`; the command gets `flows`, a list of file names.

    Args:
        of_project: Whether they are the flows of the project if none are given. `-` is standard input.
        is_needed: Whether there must be one; otherwise the list may be empty.
    """

    def build(flows: tuple[str, ...], flow_option: tuple[str, ...]) -> list[str]:
        current = current_session().flow
        named = list(dict.fromkeys([*flows, *flow_option])) or ([] if current is None else [current])
        if named or not is_needed:
            return named
        if not of_project:
            raise usage(NO_FLOW, ARGUMENTS["FLOW"])
        return project_flows(NO_FLOW)

    metavar = "[FLOW]..." if of_project or not is_needed else "FLOW..."
    return together(
        "flows",
        build,
        click.argument("flows", nargs=-1, metavar=metavar, shell_complete=complete_flow_files),
        option_in(
            "--flow",
            "flow_option",
            multiple=True,
            section="Flow",
            metavar="FILE",
            shell_complete=complete_flow_files,
            help="A flow, like FLOW; repeatable.",
        ),
    )


def value_options(function: Function) -> Function:
    """Add the options for input, variables and overrides; the command gets `values`, a `Values`."""
    decorate = together("values", _values, *_input_options(), *_variable_options(), *_override_options())
    return decorate(function)  # type: ignore[return-value]


def setting_options(function: Function) -> Function:
    """Add the options for variables and overrides, without an input; the command gets `values`, a `Values`."""
    decorate = together("values", _values, *_variable_options(), *_override_options())
    return decorate(function)  # type: ignore[return-value]


def input_options(function: Function) -> Function:
    """Add the options for an input that belongs to no flow; the command gets `values`, a `Values`."""

    def build(stdin_format: str | None, no_stdin: bool, **given: Any) -> Values:
        return Values(input=_alternatives("input", given), stdin_format=stdin_format, reads_stdin=not no_stdin)

    return together("values", build, *_input_options(has_flow=False))(function)  # type: ignore[return-value]


def job_options(function: Function) -> Function:
    """Add the options of commands that run a flow, except the cache's; the command gets `given`, a `JobOptions`."""
    flow: dict[str, Any] = {"section": "Flow"}
    batch: dict[str, Any] = {"section": "Batch"}
    return together(  # type: ignore[return-value]
        "given",
        JobOptions,
        flow_argument,
        option_in(
            "--dry-run",
            is_flag=True,
            help="Run nothing: validate the flow, and print what would be sent, without secrets.",
            **flow,
        ),
        option_in(
            "--idempotency-key",
            metavar="KEY",
            help="Create one run for this key, such as the id of a document. If the flow has a run under it, return "
            "that one. For a changed flow, the key is another one unless it has a scope. Needs a server of 0.10 or "
            "newer with a store that lasts.",
            **flow,
        ),
        option_in(
            "--idempotency-scope",
            metavar="NAME",
            help="What the key identifies, for example ticket: the run with this key and scope is returned, whatever "
            "the version of the flow.",
            **flow,
        ),
        option_in(
            "--up-to",
            metavar="STEP",
            shell_complete=complete_steps,
            help="Run only this step and those it depends on; its output is the result.",
            **flow,
        ),
        option_in(
            "--wait-for-components",
            is_flag=True,
            help="Create the run once the server has the components that the flow needs; wait up to 60 s for workers.",
            **flow,
        ),
        together("reuse", Reuse, *_reuse_options()),
        value_options,
        no_check_option("Input"),
        inputs_option,
        option_in(
            "--max-concurrency",
            "--max-concurrent",
            type=click.IntRange(min=1),
            metavar="N",
            help="How many steps are executed at once, over all inputs; the number of started inputs is not limited. "
            "[default: the server decides]",
            **batch,
        ),
        together("retry", Retry, *retry_options()),
        together("streaming", dict, *stream_options()),
        history_options,
        own=JobOptions._fields,
    )(function)


def no_check_option(section: str) -> Decorator:
    """Return an option that leaves out the checks before a run; the command gets `check`."""
    return option_in(
        "--no-check",
        "check",
        is_flag=True,
        flag_value=False,
        default=True,
        section=section,
        help="Also run flows with errors, and inputs and variables that do not fit the flow's schemas.",
    )


def _reuse_options() -> list[Decorator]:
    where: dict[str, Any] = {"section": "Reuse"}
    return [
        run_id_option(
            "--reuse",
            "run",
            section="Reuse",
            help="Execute only what has changed since this run; the other steps return their earlier output. RUN is an "
            "id or its beginning, or @last, @2 and so on, counted among the runs of this flow. If no input is "
            "given, the input, variables and overrides that are not given are those of RUN.",
        ),
        option_in(
            "--from",
            "from_step",
            metavar="STEP",
            shell_complete=complete_steps,
            help="Execute this step and all that depend on it, also if they have not changed. [default: --reuse @last]",
            **where,
        ),
        option_in(
            "--step",
            "only_step",
            metavar="STEP",
            shell_complete=complete_steps,
            help="Execute this step alone and print its output. The outputs that it reads are those of the run of "
            "--reuse, by default @last. If an input is given, it is that of the step, and no run is needed.",
            **where,
        ),
    ]


rounds_option = option_in(
    "--watch",
    is_flag=True,
    section="Output",
    help="Repeat this when a file that it reads changes, until Ctrl-C, and show what differs from the result before.",
)
"""Adds --watch for commands that read flows; the command gets `watch`."""

detach_option = option_in(
    "--detach",
    is_flag=True,
    section="Waiting",
    help="Do not wait: print the run's id and exit. The run continues on its server, which is not an embedded one.",
)
"""Adds --detach; the command gets `detach`."""


def cache_options(function: Function) -> Function:
    """Add --cache, --max-age and --refresh; the command gets `caching`, a `Caching`."""
    where: dict[str, Any] = {"section": "Cache"}

    def build(cache: bool, max_age: float | None, refresh: bool) -> Caching:
        return Caching(cache, max_age, refresh)

    return together(  # type: ignore[return-value]
        "caching",
        build,
        option_in(
            "--cache",
            is_flag=True,
            help="Print the kept result of an earlier run with the same flow, input, variables, overrides and server. "
            "If there is none, keep the result of this run, if it succeeds.",
            **where,
        ),
        duration_option("--max-age", "How old the result may be: 90s, 15m, 1h or 2d. [default: 7d]", **where),
        option_in(
            "--refresh", is_flag=True, is_risky=True, help="Run the flow in any case, and replace the result.", **where
        ),
    )(function)


def history_options(function: Function) -> Function:
    """Add --label and --note; the command gets `about`, a dict with `labels` and `note`."""

    def build(labels: tuple[str, ...], note: str | None) -> dict[str, Any]:
        return {"labels": labels_of(labels), "note": note}

    return together(  # type: ignore[return-value]
        "about",
        build,
        label_option("Recorded with the run in the history; repeatable.", section="History"),
        option_in("--note", section="History", metavar="TEXT", help="A text to find the run by."),
    )(function)


def _input_options(*, has_flow: bool = True) -> list[Decorator]:
    where: dict[str, Any] = {"section": "Input"}
    example = option_in(
        "--example",
        metavar="NAME",
        shell_complete=complete_examples,
        help="The input of an example or a test case of the flow.",
        **where,
    )
    return [
        option_in(
            "--input",
            type=FILE,
            metavar="FILE",
            help="The input: a YAML or JSON file, - for standard input.",
            **where,
        ),
        option_in("--input-json", metavar="JSON", help="The input as JSON.", **where),
        option_in("--input-yaml", metavar="YAML", help="The input as YAML.", **where),
        *([example] if has_flow else []),
        option_in(
            "--stdin-format",
            type=Choice(["json", "yaml"]),
            help="What standard input holds. [default: json where no option names it; yaml, or JSON, for -; lines of "
            "JSON for --inputs -]",
            **where,
        ),
        option_in(
            "--no-stdin",
            is_flag=True,
            help="Do not read standard input, in a loop for example. By default it is the input if it is a pipe or a "
            "file, and no option gives another.",
            **where,
        ),
    ]


def _variable_options() -> list[Decorator]:
    where: dict[str, Any] = {"section": "Variables"}
    return [
        option_in(
            "--variables",
            type=FILE,
            metavar="FILE",
            help="The flow's variables: a YAML or JSON file, - for standard input.",
            **where,
        ),
        option_in("--variables-json", metavar="JSON", help="The variables as JSON.", **where),
        option_in("--variables-yaml", metavar="YAML", help="The variables as YAML.", **where),
        option_in(
            "--var",
            multiple=True,
            metavar="NAME=VALUE",
            shell_complete=complete_variables,
            help="One variable; takes precedence over the others; repeatable.",
            **where,
        ),
        option_in(
            "--variables-from-env",
            is_flag=True,
            help="Take missing variables from the environment: by the env_var of the flow's schema, else "
            "STEPFLOW_VAR_<NAME>.",
            **where,
        ),
    ]


def _override_options() -> list[Decorator]:
    where: dict[str, Any] = {"section": "Overrides (repeatable; later ones take precedence)"}
    return [
        option_in(
            "--overrides",
            multiple=True,
            type=FILE,
            metavar="FILE",
            help="Overrides of steps: a YAML or JSON file, - for standard input.",
            **where,
        ),
        option_in("--overrides-json", multiple=True, metavar="JSON", help="Overrides of steps as JSON.", **where),
        option_in("--overrides-yaml", multiple=True, metavar="YAML", help="Overrides of steps as YAML.", **where),
        option_in(
            "--set",
            "set_",
            multiple=True,
            metavar="STEP.input.KEY=VALUE",
            shell_complete=complete_overrides,
            help="Override one value: JSON, a YAML scalar, or else text; a dot in a name is written \\.",
            **where,
        ),
    ]


_FORMS: dict[str, Form] = {"": "file", "_json": "json", "_yaml": "yaml"}


def _alternatives(kind: str, given: dict[str, Any]) -> list[Given]:
    return [
        Given(f"--{kind}{end.replace('_', '-')}", form, given[kind + end])
        for end, form in _FORMS.items()
        if given.get(kind + end) is not None
    ]


def _values(**given: Any) -> Values:
    forms: dict[str, tuple[str, Form]] = {
        "overrides": ("--overrides", "file"),
        "overrides_json": ("--overrides-json", "json"),
        "overrides_yaml": ("--overrides-yaml", "yaml"),
        "set_": ("--set", "set"),
    }
    texts = {name: iter(given[name]) for name in forms}
    order = given_order(click.get_current_context(), list(forms))
    return Values(
        input=_alternatives("input", given),
        example=given.get("example"),
        variables=_alternatives("variables", given),
        single_variables=given["var"],
        variables_from_env=given["variables_from_env"],
        overrides=[Given(*forms[name], next(texts[name])) for name in order],
        stdin_format=given.get("stdin_format"),
        reads_stdin=not given.get("no_stdin", True),
    )
