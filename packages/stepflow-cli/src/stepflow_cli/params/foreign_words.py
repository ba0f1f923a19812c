"""Hints for words and options that don't exist here, but do in other commands or the server's own documentation.

Only words without a similar name need a hint here. For the rest, the nearest name is suggested.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Sequence

_TRACING = "the command is not traced; for traces of the server and its workers, use stepflow serve --otlp-endpoint URL"
_URL = "--url URL names the server"
_EMPTY = "an embedded server would be empty here; --url URL names another server"
_EMBEDDED = "'stepflow run' starts an embedded server"
_LIST = "'stepflow runs list' lists runs, 'stepflow flows list' flows, 'stepflow components list' components"

# Options, after the command if specific to one. An option's value follows after a space.
_OPTIONS = {
    "--log-destination": "logs go to standard error, or into the file that --log-file names",
    "--log-format": "logs are for people; -o json prints results and errors for programs",
    "--omit-stack-trace": "leave it out: only -vv prints tracebacks",
    "--trace-enabled": _TRACING,
    "--metrics-enabled": "there is no counterpart: the command exports no metrics",
    "--otlp-endpoint": _TRACING,
    "--exclude-tags": "--tag TAG selects cases; there is no option that leaves cases out",
    "--environment": "there are no environments: --config FILE names a configuration, --profile NAME a server",
    "--save-intermediate": "'stepflow runs steps RUN' prints the outputs of the steps of a run",
    "--env-variables": "--variables-from-env is its name here",
    "--max-concurrency": "--jobs N is how many files run at once; the cases of a file are one batch",
    "codegen --components": "'stepflow components stubs --from FILE' writes functions for components",
    "stubs --components": "--from FILE names the file that 'components lock' wrote",
    "--show-step-inputs": "stepflow infer has it; validate --type-check checks the types",
    "visualize --config": "no server is used: the path of a component tells its plugin",
    "--format junit": "--junit FILE writes a JUnit report, besides what is printed",
    "--debug": "--log-level debug shows the logs of the client and the server; -vv shows tracebacks too",
    "submit --local": _EMBEDDED,
    "submit --config": _EMBEDDED,
    "--local": _EMPTY,
    "--config": _EMPTY,
    "--fields": "-o json prints the whole record; jq selects fields of it",
    "--host": _URL,
    "--server": _URL,
}
_BATCH = "--inputs --retry --retry-on --input-format --output-format --resume --retry-failed --skip --limit -n --sample"
_OPTIONS |= {
    f"{command} {option}": "'stepflow batch FLOW INPUTS' runs a flow on many inputs, with --retry, --resume and --limit"
    for command in ("run", "submit")
    for option in _BATCH.split()
} | {
    "items --item": "'stepflow runs result RUN --item N' prints one item, 'runs steps RUN --item N' its steps",
    "batch --inputs": "INPUTS is the second argument: stepflow batch FLOW INPUTS",
    "batch --output-format": "-o FORMAT is the format of the records",
}

# Commands, without the leading `stepflow`.
_COMMANDS = {
    "run-batch": "'stepflow batch FLOW INPUTS' runs a batch",
    "submit-batch": "'stepflow batch FLOW INPUTS --url URL' runs a batch",
    "history search": "'stepflow history list TEXT' searches the recorded runs",
    "history delete": "'stepflow history clear RUN' removes one recorded run",
    "runs wait": "'stepflow runs watch -q RUN...' waits for runs to end",
    "eval-expr": "'stepflow runs eval RUN EXPRESSION' evaluates an expression with the outputs of a run",
    "flows variables": "'stepflow flows get FLOW --variables' lists them",
    "ls": _LIST,
    "ps": _LIST,
    "init": "'stepflow new FILE' writes a new flow, with a test",
    "start": "'stepflow serve' starts a server, 'stepflow run FLOW' runs a flow",
    "status": "'stepflow health' shows the server, 'stepflow runs get RUN' a run",
}


def command_hint(words: str) -> str | None:
    """Return what to type instead of a command that doesn't exist.

    Args:
        words: The command, starting with `stepflow`.
    """
    return _COMMANDS.get(words.partition(" ")[2])


def option_hint(command: str, options: Iterable[str], known: Collection[str]) -> str | None:
    """Return what to type instead of an option that doesn't exist.

    Args:
        command: The command's name.
        options: The option's spellings, with or without its value after a space.
        known: Options the command has. No other option is suggested.
    """
    for option in options:
        hint = _OPTIONS.get(f"{command} {option}") or _OPTIONS.get(option)
        first = (hint or "").partition(" ")[0]
        if hint is not None and (first in known or not first.startswith("-")):
            return hint
    return None


_FILES = (".json", ".yaml", ".yml")
_BATCHES = (".jsonl", ".ndjson", ".csv", ".parquet")


def extra_hint(extra: str, args: Sequence[str]) -> str | None:
    """Return the option to use instead of extra arguments to a command that runs a flow, or None if unknown.

    Args:
        extra: The extra arguments.
        args: All of the command's arguments.
    """
    name, equals, value = extra.partition("=")
    if equals and re.fullmatch(r"[^\s={}\[\]]+", name):
        text = shlex.quote(json.dumps({name: value}, ensure_ascii=False))
        return f"an input is --input-json {text}, a variable is --var {shlex.quote(extra)}"
    if any(arg[:1] in "{[" and not _is_json(arg) for arg in args if arg):
        return "put the JSON into single quotes, so that the shell leaves it as it is: --input-json '{...}'"
    if extra[:1] in ("{", "["):
        return f"an input is --input-json {shlex.quote(extra)}"
    if extra.lower().endswith(_BATCHES):
        return f"'stepflow batch FLOW {shlex.quote(extra)}' runs a flow on many inputs"
    return f"an input is --input {shlex.quote(extra)}" if extra.lower().endswith(_FILES) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
