"""Words and options that people bring from other commands, and what to type here instead.

They do not work: the hint of the error names what does.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence

_TRACING = "the command does no tracing: an application that uses the client traces it with OpenTelemetry"
_JUNIT = "--junit FILE writes a JUnit report, besides what is printed"
_TWEAKS = "they are called overrides: --set STEP.input.KEY=VALUE changes one value, --overrides-json several"
_TAGS = "runs have labels: --label NAME=VALUE"
_JOBS = "--jobs N is how many files run at once; the cases of a file are one batch"
_INPUT = "--input FILE or --input-json '{...}' gives the input, --var NAME=VALUE a variable"
_DETACH = "--detach prints the id of the run and does not wait"
_CONCURRENCY = "--max-concurrency N limits how many steps run at once"
_URL = "--url URL names the server"
_WATCH = "'stepflow runs watch RUN' follows a run until it ends"
_MANY = "name the runs, or pipe their ids: 'stepflow runs list --status running -o name' prints those of running ones"
_RUNS = ("run", "submit", "rerun")


def _each(names: str, hint: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), hint)


_OPTIONS: Mapping[str, str] = {
    "--other-log-level": "there are no logs of other packages; --log-level is that of the client and the server",
    "--log-destination": "logs go to standard error, or into the file that --log-file names",
    "--log-format": "logs are for people; -o json prints results and errors for programs",
    **_each("--trace-enabled --metrics-enabled --otlp-endpoint", _TRACING),
    "--env-variables": "--variables-from-env is its name here",
    "--max-concurrency": _JOBS,
    "--show-step-inputs": "stepflow infer has it; validate --type-check checks the types",
    "--debug": "--log-level debug shows the logs of the client and the server; -vv shows tracebacks too",
    "--trace": "--log-level trace shows the logs of the client and the server; -vv shows tracebacks too",
    **_each("--server --host --endpoint --server-url --port -p", _URL),
    **_each("--no-color --no-colour", "--color never prints no colours"),
    **_each("--silent -s", "--quiet prints only results and errors"),
    **_each("-w --follow", "--watch repeats a command; 'stepflow runs watch RUN' follows a run"),
    **_each("-a -A", "--all lists all of them"),
    **_each("--context --env -e", "--profile NAME names the server by a profile"),
    **_each("--wait", "commands wait for their result unless --detach is given; --timeout limits how long"),
}
"""Options of any command."""

_OPTIONS_OF: Mapping[tuple[str, str], str] = {
    **{(command, "--all"): _MANY for command in ("cancel", "delete")},
    ("events", "--since"): "--after CURSOR gives what came after an event; 'stepflow runs list' has --since TIME",
    **{("test", option): _JOBS for option in ("--max-concurrent", "--parallel", "-n", "-j")},
    **{("test", option): _JUNIT for option in ("--output", "-O", "--format junit", "--report", "--xml")},
    **{("test", option): _JUNIT for option in ("--junitxml", "--junit-xml", "--junit-report", "--output-file")},
    ("test", "--tags"): "--tag NAME chooses the cases with a tag; repeat it for several",
    ("test", "-m"): "--tag NAME chooses the cases with a tag; repeat it for several",
    ("test", "--tweaks"): "test cases have no overrides; the mocks of a case give outcomes of steps",
    ("test", "--filter"): "-k TEXT chooses cases by a part of their name, --case GLOB by all of it",
    ("test", "--cov"): "--coverage shows which steps and branches no case reaches",
    ("test", "--cov-fail-under"): "--fail-under PERCENT is its name here",
    **{("test", option): "-x ends at the first case that fails" for option in ("--maxfail", "--fail-fast")},
    **{(command, "--tweaks"): _TWEAKS for command in _RUNS},
    **{(command, "--tags"): _TAGS for command in _RUNS},
    **{(command, option): _CONCURRENCY for command in _RUNS for option in ("--parallel", "-j", "--jobs")},
    **{(command, option): _INPUT for command in _RUNS for option in ("-i", "-p", "-e", "--env", "--data", "--param")},
    **{(command, option): _INPUT for command in _RUNS for option in ("--params", "--arg", "--args", "--body")},
    **{(command, option): _DETACH for command in _RUNS for option in ("-d", "--background", "--async", "--no-wait")},
    **{(command, option): "FLOW is an argument: stepflow run FILE" for command in _RUNS for option in ("-f", "--file")},
    **{(command, "--rm"): "an embedded server ends with the command and leaves nothing" for command in _RUNS},
    **{("logs", option): _WATCH for option in ("-f", "--follow", "-w", "--watch")},
    **{("watch", option): "it follows the run in any case" for option in ("-f", "--follow")},
    ("visualize", "--config"): "no server is asked: the plugin of a step is told by its component's path",
}
"""Options of one command. A value that belongs to the option follows it after a blank."""

_SHOW = "'stepflow runs get RUN' shows a run, 'stepflow flows get FLOW' a flow, 'stepflow blobs get ID' a blob"
_LIST = "'stepflow runs list' lists runs, 'stepflow flows list' flows, 'stepflow components list' components"
_DELETE = "'stepflow runs delete RUN' deletes a run, 'stepflow flows delete FLOW' a flow"
_STORE = "'stepflow flows store FLOW' stores a flow on a server; 'stepflow run FLOW' needs no such step"
_RUN = "'stepflow run FLOW' runs a flow"
_SERVE = "'stepflow serve' starts a server; Ctrl-C ends it"
_NEW = "'stepflow new FILE' writes a new flow, with a test"
_CANCEL = "'stepflow runs cancel RUN' cancels a run"
_RERUN = "'stepflow runs rerun RUN' runs a flow again, with the outputs of the steps that have not changed"
_UI = "'stepflow ui' shows runs, flows and components in the browser"
_HEALTH = "'stepflow health' shows the server, 'stepflow runs get RUN' a run"
_PIP = "'pip install --upgrade stepflow-cli' installs the newest release"
_PROFILE = "'stepflow config use PROFILE' chooses a server; 'stepflow config list' shows the profiles"
_LOGIN = "'stepflow config set profiles.NAME.token_env VARIABLE' says which variable holds a server's token"
_SECRETS = "secrets are variables of a flow: 'stepflow run FLOW --variables-from-env' takes them from the environment"
_CONFIG = "'stepflow config list' shows the settings, 'stepflow doctor' what does not work"
_COMPONENTS = "'stepflow components list' lists the components of a server, 'stepflow health' its workers"
_RESULT = "'stepflow runs result RUN' prints the output of a run, 'stepflow runs items RUN' those of a batch"
_SCHEDULE = "no command schedules runs: cron, or a CI system, calls 'stepflow run'"
_AGENTS = "'stepflow mcp config FLOW' prints what an agent's host needs, 'stepflow mcp serve FLOW' is what it starts"
_FILE = "'stepflow config set KEY VALUE' writes the file, 'stepflow config list' shows its name and its settings"
_WHY = "'stepflow runs get RUN' says why a run failed, 'stepflow runs steps RUN' lists its steps"
_SCHEMAS = "'stepflow components list -o json' has the schemas of components"
_BLOBS = "servers list no blobs: the outputs of runs hold their ids"
_BATCH = "stepflow run FLOW --inputs FILE.jsonl runs a batch"
_FORMAT = "'stepflow validate --fix FLOW' corrects a flow, 'stepflow convert' writes it in another format"

_COMMANDS: Mapping[str, str] = {
    **_each("run-batch batch map foreach", _BATCH),
    "submit-batch": "stepflow submit FLOW --inputs FILE.jsonl runs a batch",
    "compare": "'stepflow runs diff RUN RUN' compares two runs, 'stepflow eval FLOW' variants of a flow",
    "flow": "'stepflow flows --help' lists what can be done with flows",
    "find": "'stepflow history search TEXT' searches the runs that were started from this machine",
    "pull": "'stepflow flows get FLOW' prints a flow of a server",
    "build": "flows are not built: 'stepflow validate FLOW' checks one",
    **_each("bash zsh fish", "'stepflow completion SHELL' prints the completion script of a shell"),
    **_each("docs man", "'stepflow help COMMAND' shows the help of a command"),
    **_each("output outputs", _RESULT),
    **_each("schedule cron trigger", _SCHEDULE),
    **_each("get show describe inspect cat", _SHOW),
    **_each("ps ls list top jobs queue", _LIST),
    **_each("delete rm remove", _DELETE),
    **_each("apply deploy push upload publish register", _STORE),
    **_each("exec execute invoke launch run-flow", _RUN),
    **_each("start up dev daemon", f"{_SERVE}. {_RUN}"),
    **_each("stop down kill abort", f"{_CANCEL}. Ctrl-C ends 'stepflow serve'"),
    **_each("init create add generate scaffold", _NEW),
    **_each("retry resume replay restart", _RERUN),
    **_each("dashboard web open gui studio", _UI),
    **_each("status ping", _HEALTH),
    **_each("upgrade update install self-update", _PIP),
    **_each("profile profiles context contexts", _PROFILE),
    **_each("login logout auth", _LOGIN),
    **_each("secret secrets", _SECRETS),
    **_each("env info about settings url", _CONFIG),
    **_each("plugins plugin worker workers nodes", _COMPONENTS),
    **_each("format fmt", _FORMAT),
    **_each("lint check verify", "'stepflow validate FLOW' checks a flow"),
    **_each("graph draw plot render diagram", "'stepflow visualize FLOW' draws a flow"),
    **_each("tail follow attach", _WATCH),
    **_each("trace explain why", _WHY),
    **_each("shell console", "'stepflow repl' runs commands at a prompt"),
    **_each("export", "'stepflow runs report RUN' writes a run down, 'stepflow convert FLOW' a flow in another format"),
    **_each("import", _STORE),
    **{f"runs {word}": hint for word, hint in _each("stop kill abort", _CANCEL).items()},
    **{f"runs {word}": hint for word, hint in _each("tail follow attach", _WATCH).items()},
    **{f"runs {word}": hint for word, hint in _each("retry resume replay restart", _RERUN).items()},
    **{f"runs {word}": hint for word, hint in _each("start create new add run", _RUN).items()},
    **{f"runs {word}": "'stepflow runs get RUN' shows a run" for word in ("inspect", "status", "info")},
    **{f"runs {word}": "'stepflow runs list' lists runs" for word in ("ps", "top", "jobs")},
    **{f"runs {word}": hint for word, hint in _each("output outputs", _RESULT).items()},
    **{f"runs {word}": hint for word, hint in _each("trace explain why", _WHY).items()},
    **{f"runs {word}": "'stepflow runs report RUN' has the graph of a run" for word in ("graph", "draw", "visualize")},
    **{f"blobs {word}": _BLOBS for word in ("list", "ls")},
    **{f"components {word}": _SCHEMAS for word in ("get", "show", "describe", "inspect")},
    **{f"config {word}": _FILE for word in ("init", "edit", "path", "create")},
    **{f"history {word}": "'stepflow history clear' removes recorded runs" for word in ("rm", "delete", "remove")},
    **{f"mcp {word}": hint for word, hint in _each("start run install add list", _AGENTS).items()},
    **{f"flows {word}": hint for word, hint in _each("push upload create add apply register deploy", _STORE).items()},
    **{f"flows {word}": hint for word, hint in _each("run execute start", _RUN).items()},
}
"""Commands, without the word `stepflow`."""


def command_hint(words: str) -> str | None:
    """Return what to type instead of a command that does not exist.

    Args:
        words: The command, with `stepflow` before it.
    """
    return _COMMANDS.get(words.partition(" ")[2])


def option_hint(command: str, options: Iterable[str], known: Collection[str]) -> str | None:
    """Return what to type instead of an option that does not exist.

    Args:
        command: The name of the command.
        options: The option in its spellings, with its value after a blank or without it.
        known: The options that the command has. Another is not suggested.
    """
    for option in options:
        found = _OPTIONS_OF.get((command, option)) or _OPTIONS.get(option)
        first = (found or "").partition(" ")[0]
        if found is not None and (first in known or not first.startswith("-")):
            return found
    return None


_FILES = (".json", ".yaml", ".yml")
_BATCHES = (".jsonl", ".ndjson", ".csv", ".parquet")


def extra_hint(extra: str, args: Sequence[str]) -> str | None:
    """Return where words belong that were given as arguments, to a command that runs a flow; None if that is unknown.

    Args:
        extra: The words.
        args: All words of the command.
    """
    name, equals, value = extra.partition("=")
    if equals and re.fullmatch(r"[^\s={}\[\]]+", name):
        given = shlex.quote(json.dumps({name: value}, ensure_ascii=False))
        return f"an input is --input-json {given}, a variable is --var {shlex.quote(extra)}"
    if any(each[:1] in "{[" and not _is_json(each) for each in args if each):
        return "put the JSON into single quotes, so that the shell leaves it as it is: --input-json '{...}'"
    if extra[:1] in ("{", "["):
        return f"an input is --input-json {shlex.quote(extra)}"
    if extra.lower().endswith(_BATCHES):
        return f"a file of many inputs is --inputs {shlex.quote(extra)}"
    return f"an input is --input {shlex.quote(extra)}" if extra.lower().endswith(_FILES) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
