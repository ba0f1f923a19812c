"""Shell completion, built on top of click's own.

There's no way to show an error here, so nothing is completed if an error occurs.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from .inputs.file_io import DATA_SUFFIXES
from .output.colors_and_escaping import escape

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.history import HistoryEntry

    from .settings.server_choice import ServerOptions

# Maximum number of seconds that a completion waits for the server.
_TIMEOUT = 1.0
_MAX_RUNS = 50
# Maximum number of history positions to offer.
_MAX_POSITIONS = 9

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _make_completer(list_items: Callable[[click.Context, str], Iterable[CompletionItem]]) -> Completer:
    """Wrap a function so that it returns only items starting with the typed text, or no items if it fails."""

    @functools.wraps(list_items)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            items = [item for item in list_items(ctx, incomplete) if item.value.startswith(incomplete)]
        except Exception:
            return []
        for item in items:
            # Flow names come from the server, so escape any control characters and line breaks.
            item.help = item.help and " ".join(escape(str(item.help)).split())
        return [item for item in items if item.value == escape(item.value) and "\n" not in item.value]

    return complete


def _get_first_argument(ctx: click.Context, name: str) -> object:
    # When completing an option's value, click hasn't parsed the preceding arguments yet.
    return ctx.params.get(name) or (ctx.args[0] if ctx.args else None)


# The server


@_make_completer
def complete_run_ids(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the newest runs on the server selected by the command line or the settings, each with a description.

    If the typed text starts with `@`, return history positions instead.
    """
    if incomplete.startswith("@"):
        return _build_history_position_items(_list_recorded_runs(ctx))
    listed = _query_server(ctx, lambda client: client.list_runs(limit=_MAX_RUNS, timeout=_TIMEOUT).runs)
    return [CompletionItem(run.run_id, help=f"{run.status.value}, {run.flow_name or 'unnamed flow'}") for run in listed]


@_make_completer
def complete_components(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the builtin components only, because servers don't report the paths of other components."""
    from stepflow_client.flows.components import BUILTINS

    return [CompletionItem(path) for path in BUILTINS]


@_make_completer
def complete_recorded_runs(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the newest runs in the history, first by position and then by ID."""
    from .settings.run_history import open_history

    entries = open_history().search(limit=_MAX_RUNS)
    return _build_history_position_items(entries) + [
        CompletionItem(each.run_id, help=_describe_recorded_run(each)) for each in entries
    ]


def _list_recorded_runs(ctx: click.Context) -> list[HistoryEntry]:
    """Return the newest recorded runs. If the command line specifies a server, only return runs from that server."""
    from .settings.run_history import open_history
    from .settings.server_choice import choose_server, list_equivalent_urls

    options = _read_server_options(ctx)
    url = choose_server(options).url.value if options.has_server_option else None
    return open_history().search(server=None if url is None else list_equivalent_urls(url), limit=_MAX_POSITIONS)


def _build_history_position_items(entries: list[HistoryEntry]) -> list[CompletionItem]:
    return [
        CompletionItem("@last" if number == 1 else f"@{number}", help=_describe_recorded_run(entry))
        for number, entry in enumerate(entries[:_MAX_POSITIONS], start=1)
    ]


def _describe_recorded_run(entry: HistoryEntry) -> str:
    name = entry.flow.get("name") if isinstance(entry.flow, Mapping) else None
    return ", ".join(part for part in (entry.status or "started", name or "unnamed flow", entry.note) if part)


@_make_completer
def complete_steps_of_run(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the steps of the run given on the command line."""
    from .inputs.flow_loading import list_step_ids
    from .runs.find_runs import expand_run_id, parse_history_position

    run = str(_get_first_argument(ctx, "run_id"))
    if run.startswith("@"):
        entries = _list_recorded_runs(ctx)[parse_history_position(run) :]
        return [CompletionItem(step) for entry in entries[:1] for step in list_step_ids(entry.flow)]
    flows = _query_server(ctx, lambda client: [client.get_run_flow(expand_run_id(client, run), timeout=_TIMEOUT).flow])
    return [CompletionItem(step) for flow in flows for step in list_step_ids(flow)]


def _read_server_options(ctx: click.Context) -> ServerOptions:
    from .settings.server_choice import ServerOptions

    names = ("url", "profile", "local", "config")
    return ServerOptions(**{name: ctx.params[name] for name in names if ctx.params.get(name)}, default="server")


def _query_server(ctx: click.Context, question: Callable[[SyncStepflowClient], Iterable[Any]]) -> tuple[Any, ...]:
    """Query the server and return the results, or nothing if that takes longer than a second."""
    from .errors import Session
    from .server.connect import connect, get_server_kept_by_session
    from .settings.server_choice import choose_server

    options = _read_server_options(ctx)
    choice = choose_server(options)
    # Don't run a token command: it might prompt for input on the terminal that the shell is using.
    asks = choice.profile is not None and bool(choice.profile.token_command)
    # Look this up now, because the thread below has no click context.
    session = ctx.find_root().obj
    kept = get_server_kept_by_session(options, session if isinstance(session, Session) else None)
    if (choice.is_embedded or asks) and kept is None:
        return ()
    # Import this before the timeout starts, so that the timeout only covers the server.
    import stepflow_client.types  # noqa: F401

    answers: list[Any] = []

    def collect_answers() -> None:
        with suppress(Exception), nullcontext(kept) if kept else connect(options) as target:
            answers.extend(question(target.client))

    # Use a thread because a request timeout applies to each read rather than to the request as a whole.
    asking = threading.Thread(target=collect_answers, daemon=True)
    asking.start()
    asking.join(_TIMEOUT)
    return tuple(answers)


# Files


@_make_completer
def complete_flow_files(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the subfolders, YAML files and JSON files of the folder being completed."""
    folder, slash, start = incomplete.rpartition("/")
    for entry in sorted(os.scandir(os.path.expanduser(folder + slash) or "."), key=lambda entry: entry.name):
        if entry.name.startswith(".") and not start.startswith("."):
            continue
        if entry.is_dir():
            yield CompletionItem(f"{folder}{slash}{entry.name}/", type="part")
        elif entry.name.lower().endswith(DATA_SUFFIXES):
            yield CompletionItem(f"{folder}{slash}{entry.name}")


def _load_named_flow(ctx: click.Context) -> Mapping[str, Any]:
    """Load the flow file given on the command line, or return an empty mapping if there isn't one yet."""
    from .inputs.flow_loading import is_python_flow, load_flow_argument

    name = _get_first_argument(ctx, "flow") or ctx.params.get("flow_option")
    # Don't read standard input, which belongs to the shell, and don't execute a Python module during completion.
    is_file = isinstance(name, str) and name != "-" and not is_python_flow(name)
    return load_flow_argument(os.path.expanduser(str(name))) if is_file else {}


@_make_completer
def complete_examples(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the names of the flow's examples and test cases."""
    from .inputs.flow_loading import list_example_and_case_names

    return [CompletionItem(name) for name in list_example_and_case_names(_load_named_flow(ctx))]


@_make_completer
def complete_steps(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the flow's step IDs."""
    from .inputs.flow_loading import list_step_ids

    return [CompletionItem(step) for step in list_step_ids(_load_named_flow(ctx))]


@_make_completer
def complete_variables(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the flow's variables in the form `name=`."""
    from stepflow_client._data.flow_declarations import get_variable_declarations

    declared = {} if "=" in incomplete else get_variable_declarations(_load_named_flow(ctx))
    return [CompletionItem(f"{name}=", type="part", help=each["description"]) for name, each in declared.items()]


@_make_completer
def complete_overrides(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the flow's steps (`step.input.`) or, once one is typed, the keys of its input (`step.input.key=`)."""
    steps = _load_named_flow(ctx).get("steps")
    for step in steps if isinstance(steps, list) else []:
        before = f"{_escape_dots(str(step['id']))}.input."
        keys = step.get("input")
        if not incomplete.startswith(before) or not isinstance(keys, Mapping):
            yield CompletionItem(before, type="part", help=step.get("component"))
            continue
        for key in () if "=" in incomplete else keys:
            yield CompletionItem(f"{before}{_escape_dots(str(key))}=", type="part")


def _escape_dots(name: str) -> str:
    return name.replace(".", "\\.")


# Settings


@_make_completer
def complete_profiles(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the profiles, described by their server's URL."""
    from .settings.profiles import load_profiles

    return [CompletionItem(name, help=str(table.get("url") or "")) for name, table in load_profiles().tables.items()]


@_make_completer
def complete_config_keys(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the keys that `config set` and `config unset` accept."""
    return [CompletionItem(key) for key in _list_settings_file_keys()]


@_make_completer
def complete_setting_names(ctx: click.Context, incomplete: str) -> Iterable[CompletionItem]:
    """Return the names that `config get` accepts, including settings that aren't stored in the configuration file."""
    connection = ("verify", "ca_file", "cert_file", "key_file", "proxy")
    names = ["url", "profile", "token", "timeout", *connection, "history", "target", "profiles", "file"]
    return [CompletionItem(name) for name in dict.fromkeys([*names, *_list_settings_file_keys(short=False)])]


def _list_settings_file_keys(*, short: bool = True) -> Iterable[str]:
    from .settings.profiles import PROFILE_KEYS, load_profiles

    yield from ("current", "history", "target")
    if short:
        yield from PROFILE_KEYS
    for name in load_profiles().tables:
        yield f"profiles.{name}"
        yield from (f"profiles.{name}.{key}" for key in PROFILE_KEYS)


COMPLETION_VARIABLE = "_STEPFLOW_COMPLETE"
"""The environment variable that the shell sets when it requests completions."""


def _patch_script(template: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        template = template.replace(old, new)
    return template


class _BashCompletion(BashComplete):
    source_template = _patch_script(
        BashComplete.source_template,
        {
            "read type value": "read -r type value",
            "        elif [[ $type == 'plain' ]]": "        elif [[ $type == 'part' ]]; then\n"
            "            COMPREPLY+=($value)\n            compopt -o nospace 2>/dev/null\n"
            "        elif [[ $type == 'plain' ]]",
            # bash versions before 4.4 (such as the one on macOS) lack `-o nosort` and always sort completions.
            "complete -o nosort -F %(complete_func)s %(prog_name)s": "complete -o nosort -F %(complete_func)s "
            "%(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s",
        },
    )

    def source(self) -> str:
        """Return the script without checking the local bash version, since the script may be meant for another one."""
        return ShellComplete.source(self)

    _is_behind_at = False

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the preceding words and the word to complete. Rejoins words like `@la`, which bash splits."""
        args, incomplete = super().get_completion_args()
        self._is_behind_at = bool(args) and args[-1] == "@"
        return (args[:-1], f"@{incomplete}") if self._is_behind_at else (args, incomplete)

    def format_completion(self, item: CompletionItem) -> str:
        """Format an item for the script, with quotes because bash inserts it as is."""
        if self._is_behind_at and item.value.startswith("@"):
            item = CompletionItem(item.value[1:], type=item.type)
        # Don't quote colons and equals signs, because bash splits words there.
        quoted = re.sub(r"([^\w@%+=:,./~-])", r"\\\1", item.value)
        return f"{item.type},{quoted}"


class _ZshCompletion(ZshComplete):
    source_template = _patch_script(
        ZshComplete.source_template,
        {
            '        elif [[ "$type" == "dir" ]]': '        elif [[ "$type" == "part" ]]; then\n'
            '            compadd -U -V unsorted -S \'\' -- "$key"\n        elif [[ "$type" == "dir" ]]'
        },
    )

    def format_completion(self, item: CompletionItem) -> str:
        """Format an item for the script, leaving out the description of a `part` item."""
        if item.type == "part":
            return f"part\n{item.value}\n_"
        return super().format_completion(item)


class _FishCompletion(FishComplete):
    # Field lists contain commas, so only split at the first one. Text after an open quote counts as a single word.
    source_template = _patch_script(
        FishComplete.source_template,
        {
            'split ","': 'split -m 1 ","',
            "(commandline -cp)": "(commandline -cp | string collect)",
            "(commandline -t)": "(commandline -t | string collect)",
        },
    )

    def format_completion(self, item: CompletionItem) -> str:
        """Format an item for the script. fish recognizes partial words by itself, so `part` items become plain ones."""
        if item.type == "part":
            item = CompletionItem(item.value, help=item.help)
        return super().format_completion(item)


SHELLS: dict[str, Any] = {"bash": _BashCompletion, "zsh": _ZshCompletion, "fish": _FishCompletion}
"""The supported shells, by name."""


def register_completion_shells() -> None:
    """Register these shells with click, and suppress messages that would garble the command line being typed."""
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
