"""Hints for words and options that don't exist here but are used by other commands or the server's documentation.

Only list words that don't resemble an existing name. For all others, the error suggests the closest name.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Sequence

_TRACING = "the command is not traced; for traces of the server and its workers, use stepflow serve --otlp-endpoint URL"
_URL_HINT = "use --url URL to name the server"
_EMPTY_SERVER_HINT = "an embedded server would be empty here; to name a different server, use --url URL"
_EMBEDDED_HINT = "to start an embedded server, use 'stepflow run'"
_LIST_HINT = "use 'stepflow runs list', 'stepflow flows list' or 'stepflow components list'"

# Options. Each starts with a command if the hint only applies to that command, and ends with a value if the hint only
# applies to that value.
_OPTION_HINTS = {
    "--log-destination": "logs go to standard error, or to the file that --log-file names",
    "--log-format": "logs are for people; for results and errors that programs can read, use -o json",
    "--omit-stack-trace": "leave it out: only -vv prints tracebacks",
    "--trace-enabled": _TRACING,
    "--metrics-enabled": "there is no equivalent: the command exports no metrics",
    "--otlp-endpoint": _TRACING,
    "--exclude-tags": "use --tag TAG to select cases; there is no option to exclude cases",
    "--environment": "there are no environments: use --config FILE for a configuration or --profile NAME for a server",
    "--save-intermediate": "to see step outputs, use 'stepflow runs steps RUN'",
    "--env-variables": "use --variables-from-env",
    "--max-concurrency": "use --jobs N to set how many files run at once; the cases of a file are one batch",
    "codegen --components": "to write functions for components, use 'stepflow components stubs --from FILE'",
    "stubs --components": "use --from FILE to name the file that 'components lock' wrote",
    "--show-step-inputs": "use it with stepflow infer; to check the types, use validate --type-check",
    "visualize --config": "no server is used: the path of a component names its plugin",
    "--format junit": "use --junit FILE to write a JUnit report in addition to the output",
    "--debug": "use --log-level debug to see the logs of the client and the server, or -vv to see tracebacks too",
    "submit --local": _EMBEDDED_HINT,
    "submit --config": _EMBEDDED_HINT,
    "--local": _EMPTY_SERVER_HINT,
    "--config": _EMPTY_SERVER_HINT,
    "--fields": "use -o json to print the whole record, and jq to select fields",
    "--host": _URL_HINT,
    "--server": _URL_HINT,
}
_BATCH = "--inputs --retry --retry-on --input-format --output-format --resume --retry-failed --skip --limit -n --sample"
_OPTION_HINTS |= {
    f"{command} {option}": "for many inputs, use 'stepflow batch FLOW INPUTS', with --retry, --resume and --limit"
    for command in ("run", "submit")
    for option in _BATCH.split()
} | {
    "items --item": "for one item, use 'stepflow runs result RUN --item N'; for its steps, 'runs steps RUN --item N'",
    "batch --inputs": "INPUTS is the second argument: stepflow batch FLOW INPUTS",
    "batch --output-format": "use -o FORMAT to set the format of the records",
}

# Commands without the leading `stepflow`.
_COMMAND_HINTS = {
    "run-batch": "to run a batch, use 'stepflow batch FLOW INPUTS'",
    "submit-batch": "to run a batch, use 'stepflow batch FLOW INPUTS --url URL'",
    "history search": "to search the recorded runs, use 'stepflow history list TEXT'",
    "history delete": "to remove one recorded run, use 'stepflow history clear RUN'",
    "runs wait": "to wait for runs to end, use 'stepflow runs watch -q RUN...'",
    "eval-expr": "to evaluate an expression with a run's outputs, use 'stepflow runs eval RUN EXPRESSION'",
    "flows variables": "to list variables, use 'stepflow flows get FLOW --variables'",
    "ls": _LIST_HINT,
    "ps": _LIST_HINT,
    "init": "to write a new flow with a test, use 'stepflow new FILE'",
    "start": "to start a server, use 'stepflow serve'; to run a flow, use 'stepflow run FLOW'",
    "status": "to see the server, use 'stepflow health'; to see a run, use 'stepflow runs get RUN'",
}


def find_unknown_command_hint(words: str) -> str | None:
    """Return a hint for a command that doesn't exist.

    Args:
        words: The command, starting with `stepflow`.
    """
    return _COMMAND_HINTS.get(words.partition(" ")[2])


def find_unknown_option_hint(command: str, options: Iterable[str], known: Collection[str]) -> str | None:
    """Return a hint for an option that doesn't exist.

    Args:
        command: The command's name.
        options: The option's spellings, with or without its value after a space.
        known: The options that the command has. Only these are suggested.
    """
    for option in options:
        hint = _OPTION_HINTS.get(f"{command} {option}") or _OPTION_HINTS.get(option)
        first = (hint or "").removeprefix("use ").partition(" ")[0]
        if hint is not None and (first in known or not first.startswith("-")):
            return hint
    return None


_DATA_SUFFIXES = (".json", ".yaml", ".yml")
_BATCH_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".parquet")


def find_extra_argument_hint(extra: str, args: Sequence[str]) -> str | None:
    """Return the option to use instead of extra arguments to a command that runs a flow, or None if unknown.

    Args:
        extra: The extra arguments.
        args: All of the command's arguments.
    """
    name, equals, value = extra.partition("=")
    if equals and re.fullmatch(r"[^\s={}\[\]]+", name):
        text = shlex.quote(json.dumps({name: value}, ensure_ascii=False))
        return f"for an input, use --input-json {text}; for a variable, use --var {shlex.quote(extra)}"
    if any(arg[:1] in "{[" and not _is_json(arg) for arg in args if arg):
        return "put the JSON in single quotes, so that the shell leaves it as is: --input-json '{...}'"
    if extra[:1] in ("{", "["):
        return f"to pass an input, use --input-json {shlex.quote(extra)}"
    if extra.lower().endswith(_BATCH_SUFFIXES):
        return f"to run a flow on many inputs, use 'stepflow batch FLOW {shlex.quote(extra)}'"
    return f"to pass an input, use --input {shlex.quote(extra)}" if extra.lower().endswith(_DATA_SUFFIXES) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
