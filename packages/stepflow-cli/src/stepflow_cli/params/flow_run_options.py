"""Options for commands that run a flow: the flow itself, its input, variables and overrides."""

from __future__ import annotations

from typing import Any

import click

from ..errors import ARGUMENT_HINTS, usage
from ..inputs.command_line_values import Form, RunValues, ValueArgument
from ..inputs.flow_loading import list_project_flows
from ..runs.run_options import CacheOptions, RetryOptions, ReuseOptions
from ..settings.run_history import find_hint_if_off
from .click_commands import list_parameters_in_command_line_order
from .options import (
    BATCH,
    CACHE,
    DURATION,
    FILE,
    FLOW,
    HISTORY,
    INPUT,
    OUTPUT,
    OVERRIDES,
    REUSE,
    VARIABLES,
    WAITING,
    Choice,
    ParameterDecorator,
    Section,
    excludes,
    group_options,
    labels_option,
    lazy_complete,
    limit_option,
    needs,
)
from .runs import RUN_ID

INPUT_FORMATS = ["jsonl", "csv", "json", "yaml", "parquet"]
"""Formats of files that contain many inputs."""
RETRY_CODES = [
    "timeout", "invalid_input", "component_failed", "cancelled", "unreachable", "component_not_found",
    "resource_unavailable", "expression_failed", "orchestrator", "worker", "lost", "lost_before_start",
]  # fmt: skip
"""The error codes of runs. They are listed here because the client's enum is slow to import."""

retry_options = (
    BATCH.option(
        "--retry N",
        "Rerun inputs up to N times after a timeout, a missing worker or resource, a run lost before it started, or "
        "(since 0.12) a failed builtin. All steps run again. [default: 0]",
        to="retries",
        type=click.IntRange(min=0),
    ),
    BATCH.option(
        "--retry-on CODE",
        "With --retry, rerun only inputs whose record has this error code. Repeatable.",
        to="codes",
        multiple=True,
        type=Choice(RETRY_CODES),
    ),
)
"""Options that the command receives as a `RetryOptions`."""

stream_options = (
    BATCH.option(
        "--input-format",
        "Read INPUTS in this format. [default: from the file extension; JSON lines for -]",
        type=Choice(INPUT_FORMATS),
    ),
    BATCH.option("--resume", "Continue an interrupted batch from the journal next to --output FILE."),
    BATCH.option("--retry-failed", "Rerun the inputs that failed in --output FILE, and replace their records."),
    BATCH.option("--skip N", "Skip the first N inputs.", type=click.IntRange(min=0), default=0),
    limit_option("Run at most N inputs.", section=BATCH),
    BATCH.option(
        "--sample N", "Run N randomly chosen inputs, after applying --skip and --limit.", type=click.IntRange(min=1)
    ),
    BATCH.option(
        "--seed N", "Seed the random choice. The same inputs and seed give the same sample. [default: 0]", type=int
    ),
    BATCH.option(
        "--on-bad-line",
        "Count malformed lines as failed inputs (fail), or stop the batch (stop). [default: fail with --output, else "
        "stop]",
        type=Choice(["fail", "stop"]),
        default=None,
    ),
)
"""Options that select the inputs of a batch and control how they are read and recorded."""


def _choose_flow_argument_or_option(flow: str | None, flow_option: str | None) -> str:
    if flow is not None and flow_option is not None:
        raise usage("pass only one flow", f"the argument is {flow}, but --flow is {flow_option}")
    if flow is None and flow_option is None:
        raise usage("pass a flow as FLOW", ARGUMENT_HINTS["FLOW"])
    return flow or flow_option or ""


flow_argument = group_options(
    "flow",
    _choose_flow_argument_or_option,
    click.argument("flow", required=False, metavar="FLOW", shell_complete=lazy_complete("flow_files")),
    # Accept this option because the upstream command has it.
    FLOW.option(
        "--flow FILE",
        "Run this flow, instead of FLOW.",
        to="flow_option",
        shell_complete=lazy_complete("flow_files"),
        hidden=True,
    ),
)
"""Adds `FLOW` and a hidden `--flow FILE`, passed as `flow`: a file name, `-` or a flow ID."""

NO_FLOW_MESSAGE = "pass at least one flow file as FLOW"
"""The error if FLOW is missing and the command doesn't use the project's flows instead."""


def flows_argument(*, of_project: bool) -> ParameterDecorator:
    """Return a decorator that adds `FLOW...` and a hidden `--flow FILE`, passed as a list named `flows`.

    Args:
        of_project: Whether to use the project's flows if none are passed. If a flow is `-`, it is read from standard
            input.
    """

    def choose_flows(flows: tuple[str, ...], flow_option: tuple[str, ...]) -> list[str]:
        named = list(dict.fromkeys([*flows, *flow_option]))
        if named:
            return named
        if not of_project:
            raise usage(NO_FLOW_MESSAGE, ARGUMENT_HINTS["FLOW"])
        return list_project_flows(NO_FLOW_MESSAGE)

    metavar = "[FLOW]..." if of_project else "FLOW..."
    return group_options(
        "flows",
        choose_flows,
        click.argument("flows", nargs=-1, metavar=metavar, shell_complete=lazy_complete("flow_files")),
        FLOW.option(
            "--flow FILE",
            "Add a flow, like FLOW. Repeatable.",
            to="flow_option",
            multiple=True,
            hidden=True,
            shell_complete=lazy_complete("flow_files"),
        ),
    )


_INPUT = (
    INPUT.option("--input FILE", "Read the input from a file, or - for standard input.", type=FILE),
    INPUT.option("--input-json JSON", "Pass the input as JSON or block-style YAML."),
    # Accept this option (and --variables-yaml and --overrides-yaml) because the upstream command has it.
    INPUT.option("--input-yaml YAML", "Pass the input as YAML.", hidden=True),
)
_EXAMPLE = INPUT.option(
    "--example NAME",
    "Use the input of one of the flow's examples, or the input and variables of a test case.",
    shell_complete=lazy_complete("examples"),
)
_STDIN = (
    INPUT.option(
        "--stdin-format",
        "Read standard input in this format. [default: JSON, or YAML or JSON with -]",
        type=Choice(["json", "yaml"]),
    ),
    INPUT.option(
        "--no-stdin",
        "Do not read standard input, for example in a loop. By default, a pipe or file there supplies the input if no "
        "option does.",
    ),
)
_VARIABLES = (
    VARIABLES.option("--variables FILE", "Read variables from a file, or - for standard input.", type=FILE),
    VARIABLES.option("--variables-json JSON", "Pass the variables as JSON or block-style YAML."),
    VARIABLES.option("--variables-yaml YAML", "Pass the variables as YAML.", hidden=True),
    VARIABLES.option(
        "--var NAME=VALUE",
        "Set one variable, overriding the other options. Repeatable.",
        multiple=True,
        shell_complete=lazy_complete("variables"),
    ),
    VARIABLES.option(
        "--variables-from-env",
        "Read missing variables from the environment (env_var in the schema, else STEPFLOW_VAR_<NAME>).",
    ),
)
_OVERRIDES = (
    OVERRIDES.option(
        "--overrides FILE", "Read step overrides from a file, or - for standard input.", multiple=True, type=FILE
    ),
    OVERRIDES.option("--overrides-json JSON", "Pass step overrides as JSON or block-style YAML.", multiple=True),
    OVERRIDES.option("--overrides-yaml YAML", "Pass step overrides as YAML.", multiple=True, hidden=True),
    OVERRIDES.option(
        "--set STEP.input.KEY=VALUE",
        "Override one value with JSON, YAML such as {a: b}, or plain text. Write a dot in a name as \\.",
        to="set_",
        multiple=True,
        shell_complete=lazy_complete("overrides"),
    ),
)

_FORM_BY_SUFFIX: dict[str, Form] = {"": "file", "_json": "json", "_yaml": "yaml"}


def _get_passed_value_arguments(kind: str, given: dict[str, Any]) -> list[ValueArgument]:
    return [
        ValueArgument(f"--{kind}{end.replace('_', '-')}", form, given[kind + end])
        for end, form in _FORM_BY_SUFFIX.items()
        if given.get(kind + end) is not None
    ]


def _build_run_values(**given: Any) -> RunValues:
    forms: dict[str, tuple[str, Form]] = {
        f"overrides{end}": (f"--overrides{end.replace('_', '-')}", form) for end, form in _FORM_BY_SUFFIX.items()
    }
    forms["set_"] = ("--set", "set")
    texts = {name: iter(given.get(name, ())) for name in forms}
    order = list_parameters_in_command_line_order(click.get_current_context(), list(forms))
    return RunValues(
        input=_get_passed_value_arguments("input", given),
        example=given.get("example"),
        variables=_get_passed_value_arguments("variables", given),
        single_variables=given.get("var", ()),
        variables_from_env=given.get("variables_from_env", False),
        overrides=[ValueArgument(*forms[name], next(texts[name])) for name in order],
        stdin_format=given.get("stdin_format"),
        reads_stdin=not given.get("no_stdin", True),
    )


value_options = group_options("values", _build_run_values, *_INPUT, _EXAMPLE, *_STDIN, *_VARIABLES, *_OVERRIDES)
"""Adds options for input, variables and overrides, passed to the command as `values`, a `RunValues`."""
setting_options = group_options("values", _build_run_values, *_VARIABLES, *_OVERRIDES)
"""Adds options for variables and overrides but no input, passed to the command as `values`, a `RunValues`."""
input_options = group_options("values", _build_run_values, *_INPUT, *_STDIN)
"""Adds options for an input that isn't tied to a flow, passed to the command as `values`, a `RunValues`."""


def no_check_option(section: Section) -> ParameterDecorator:
    """Return an option that skips the checks before a run, passed to the command as `check`."""
    return section.option(
        "--no-check",
        "Send flows even if they have errors, or if inputs or variables do not match the flow's schemas.",
        to="check",
        flag_value=False,
        default=True,
    )


one_input = excludes("--input --input-json --input-yaml --example --inputs", hint="pass only one input")
one_mapping = excludes("--variables --variables-json --variables-yaml")
retry_needed = needs("--retry-on", "--retry")
_REUSE_NAMES = "--reuse --from --step"
_no_embedded = excludes("--detach", "--local --config", "an embedded server stops when the command exits")
run_conflicts = (
    one_input,
    one_mapping,
    needs("--idempotency-scope", "--idempotency-key"),
    excludes("--from --step", hint="--step executes only one step"),
    excludes("--step", "--example", "--input-json gives the step its input"),
    excludes("--step", "--up-to", "--up-to also executes the steps that it needs"),
    excludes(_REUSE_NAMES, "--idempotency-key", "a key identifies one run of the whole flow"),
    excludes(_REUSE_NAMES, "--cache", "only whole results are cached"),
    excludes(_REUSE_NAMES, "--wait-for-components", "to wait, use 'stepflow health --component PATH --wait 60s'"),
    excludes("--detach", "--cache", "a result is cached by the command that waits for it"),
    _no_embedded,
    needs("--refresh --max-age", "--cache"),
    excludes("--cache", "--idempotency-key", "a cached result comes from a run without the key"),
    excludes("--ui", "--detach --dry-run --cache", "--ui opens the page of a run"),
    excludes("--ui", "--timeout", "--ui serves the page until Ctrl-C"),
    excludes("--watch", "--detach --ui"),
)
"""Conflicts between the options of `run` and `submit`."""
_SELECTION_NAMES = "--resume --retry-failed --skip --limit --sample --on-bad-line"
batch_conflicts = (
    one_mapping,
    retry_needed,
    needs("--seed", "--sample"),
    excludes("--resume --retry-failed"),
    needs("--resume", "--output", "the journal is kept next to it"),
    needs("--retry-failed", "--output", "the output lists the failed inputs"),
    excludes("--retry-failed", "--skip --limit --sample", "--retry-failed runs all failed inputs"),
    excludes("--detach", f"--retry --output {_SELECTION_NAMES}", "--detach starts one run with all inputs"),
    excludes("--dry-run", _SELECTION_NAMES, "--dry-run checks all inputs"),
    _no_embedded,
)
"""Conflicts between the options of `batch`."""


def _build_labels_and_note(**given: Any) -> dict[str, Any]:
    about = {name: value for name, value in given.items() if value}
    if about and (hint := find_hint_if_off()):
        raise usage("--label and --note are stored in the history, which is off", hint)
    return about


history_options = group_options(
    "about",
    _build_labels_and_note,
    labels_option("Record this label with the run in the history. Repeatable.", HISTORY),
    HISTORY.option("--note TEXT", "Record a note with the run, so that you can find it later."),
)
"""Adds --label and --note, passed to the command as `about`, a dict with `labels` and `note` if set."""
_REUSE_OPTIONS = (
    REUSE.option(
        "--reuse RUN",
        "Execute only steps that changed since this run or did not complete, and steps that depend on them. Other "
        "steps return their earlier output. @last, @2 and so on count only this flow's runs with one input. If you "
        "pass no input, it comes from RUN, as do missing variables and overrides. To repeat a run, use 'stepflow runs "
        "rerun'.",
        to="run",
        type=RUN_ID,
    ),
    REUSE.option(
        "--from STEP",
        "Execute this step and all steps that depend on it, even if they have not changed. [default: --reuse @last]",
        to="from_step",
        shell_complete=lazy_complete("steps"),
    ),
    REUSE.option(
        "--step STEP",
        "Execute only this step and print its output. Earlier outputs come from the --reuse run (by default, @last). "
        "If you pass an input, it becomes the step's input, and no earlier run is needed.",
        to="only_step",
        shell_complete=lazy_complete("steps"),
    ),
)
_DRY_RUN_OPTION = FLOW.option("--dry-run", "Only validate the flow and print what would be sent, without secrets.")
_UP_TO_OPTION = FLOW.option(
    "--up-to STEP",
    "Run only this step and the steps it depends on, and return its output.",
    shell_complete=lazy_complete("steps"),
)
_CONCURRENCY = "--max-concurrency N", "Execute at most N steps at once. [default: the server decides]"
run_options = (
    flow_argument,
    value_options,
    no_check_option(INPUT),
    _DRY_RUN_OPTION,
    _UP_TO_OPTION,
    FLOW.option(*_CONCURRENCY, type=click.IntRange(min=1)),
    FLOW.option(
        "--idempotency-key KEY",
        "Create only one run for this key, such as a document ID. If the flow already has a run with this key and the "
        "same arguments, return that run. A changed flow starts a new run unless a scope is set. Keys last as long as "
        "the server's store.",
    ),
    FLOW.option(
        "--idempotency-scope NAME",
        "Make the key identify a run regardless of the flow's version. Choose a name such as ticket.",
    ),
    FLOW.option(
        "--wait-for-components", "Wait up to 60 s for workers to provide the flow's components before creating the run."
    ),
    group_options("reuse", ReuseOptions, *_REUSE_OPTIONS),
    history_options,
)
"""The options of `run` and `submit` that make up `RunOptions`, except for the cache options."""
batch_options = (
    click.argument("flow", metavar="FLOW", shell_complete=lazy_complete("flow_files")),
    click.argument("inputs", metavar="INPUTS", type=FILE),
    group_options("retry", RetryOptions, *retry_options),
    *stream_options,
    BATCH.option(*_CONCURRENCY, type=click.IntRange(min=1)),
    setting_options,
    _DRY_RUN_OPTION,
    _UP_TO_OPTION,
    no_check_option(FLOW),
    history_options,
)
"""The arguments and options of `batch` that make up `RunOptions`."""

rounds_option = OUTPUT.option(
    "--watch",
    "Run again each time a flow, value or configuration file changes, and show the differences. Press Ctrl-C to stop.",
)
"""Adds --watch for commands that read flows, passed as `watch`."""

detach_option = WAITING.option("--detach", "Print the run's ID and exit without waiting.")
"""Adds --detach, passed as `detach`."""

cache_options = group_options(
    "caching",
    CacheOptions,
    CACHE.option(
        "--cache",
        "Print the cached result of an earlier run with the same flow, input, variables, overrides and server. If "
        "there is none, run the flow, and cache a successful result that contains no secret.",
        to="is_on",
    ),
    CACHE.option(
        "--max-age TIME", "Accept a result up to this age, such as 90s, 15m, 1h or 2d. [default: 7d]", type=DURATION
    ),
    CACHE.option("--refresh", "Run the flow anyway, and replace the cached result.", is_risky=True),
)
"""Adds --cache, --max-age and --refresh, passed as `caching`, a `CacheOptions`."""
