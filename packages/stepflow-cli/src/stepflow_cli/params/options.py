"""Options that commands share, and the parsing of times such as `90s`, `2 hours ago` and `yesterday`."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

import click
from click.core import ParameterSource

from ..errors import current_session, has_output_file_option, suggest, usage
from ..output.colors_and_escaping import escape
from ..output.printing import FORMATS, Output
from ..settings.server_choice import DEFAULT_URL, Default, ServerOptions

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from click.types import OptionHelpExtra

FILE = click.Path(readable=False)
"""A file name that the shell can complete. The code that opens the file reports any errors."""

Function = TypeVar("Function", bound=Callable[..., Any])


class ParameterDecorator(Protocol):
    """Adds parameters to a command."""

    def __call__(self, function: Function, /) -> Function:
        """Return the command with the parameters added."""
        ...


class ParsedText(click.ParamType):  # type: ignore[type-arg]  # The first releases of click 8 have no type arguments.
    """A value that is parsed from text.

    Args:
        parse: Called with the text and the name of the parameter (for messages).
    """

    name = "text"

    def __init__(self, parse: Callable[[str, str], Any]) -> None:
        self._parse = parse

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the text."""
        return self._parse(value, "the value" if param is None else param.opts[0])


class Choice(click.Choice[str]):
    """One of several words, in upper or lower case. If the word is misspelled, the error suggests the closest one."""

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__(choices, case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the matching word."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            error.hint = suggest(str(value), self.choices)  # type: ignore[attr-defined]
            error.value = str(value).lower()  # type: ignore[attr-defined]
            raise


class SectionedOption(click.Option):
    """An option that `--help` lists under a heading.

    Args:
        section: The heading.
        is_risky: Whether the option overwrites or deletes things. If so, it is never suggested for a misspelled option.
    """

    def __init__(self, *args: Any, section: str = "Options", is_risky: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section
        self.is_risky = is_risky

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        """Return the details that the help adds in brackets. They only include a range if it has a maximum."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.type, click.IntRange | click.FloatRange):
            extra.pop("range", None)
            if self.type.max is not None:
                extra["range"] = f"{self.type.min} to {self.type.max}"
        return extra


class Section:
    """A heading in the output of `--help`."""

    def __init__(self, heading: str) -> None:
        self.heading = heading

    def option(self, usage: str, help: str, to: str | None = None, **settings: Any) -> ParameterDecorator:
        """Return a decorator that adds an option to a command. It takes the same arguments as `build_option`."""
        # Give each command its own option object.
        return click.option(cls=lambda _: self.build_option(usage, help, to, **settings))  # type: ignore[arg-type]

    def build_option(self, usage: str, help: str, to: str | None = None, **settings: Any) -> SectionedOption:
        """Return an option under this heading.

        Args:
            usage: The spellings of the option and a placeholder for its value, such as `-O, --output FILE`. If there is
                no placeholder, `type` or `count`, the option is a flag.
            help: The description.
            to: The name of the argument in which the command receives the value. Defaults to the first long spelling.
            **settings: Additional arguments for `SectionedOption`.
        """
        *names, last = usage.split(", ")
        name, _, value = last.partition(" ")
        names += [name, to] if to else [name]
        if value:
            settings["metavar"] = value
        elif "type" not in settings and "count" not in settings:
            settings["is_flag"] = True
        return SectionedOption(names, section=self.heading, help=help, **settings)


def lazy_complete(name: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return the `complete_NAME` function from `shell_completion`.

    It's only imported if a shell asks for completions.
    """

    def import_and_complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from .. import shell_completion

        items: list[CompletionItem] = getattr(shell_completion, f"complete_{name}")(ctx, param, incomplete)
        return items

    return import_and_complete


OPTIONS = Section("Options")
option = OPTIONS.option
FLOW, INPUT, VARIABLES, REUSE, CACHE, BATCH = map(Section, ("Flow", "Input", "Variables", "Reuse", "Cache", "Batch"))
OVERRIDES = Section("Overrides (repeatable; later options take precedence)")
HISTORY, WAITING, SERVER, OUTPUT = map(Section, ("History", "Waiting", "Server", "Output"))


class Conflict(NamedTuple):
    """Options that exclude or require others.

    Options that a command doesn't have are ignored, so commands can share rules.
    """

    options: str
    """Long option names, separated by spaces."""
    others: str
    needs: bool
    hint: str | None


def excludes(options: str, others: str = "", hint: str | None = None) -> Conflict:
    """Return a rule that none of `options` can be used with any of `others`.

    If `others` is empty, `options` exclude each other.
    """
    return Conflict(options, others or options, False, hint)


def needs(options: str, other: str, hint: str | None = None) -> Conflict:
    """Return a rule that each of `options` can only be used together with `other`."""
    return Conflict(options, other, True, hint)


def check_option_conflicts(ctx: click.Context, conflicts: Sequence[Conflict]) -> None:
    """Check that no options on the command line exclude each other or require an option that is missing.

    Raises:
        Problem: If an option conflicts with another or requires one that is missing.
    """
    params = {name: param for param in ctx.command.params for name in param.opts}
    given = {
        name
        for name, param in params.items()
        if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        # `-` (standard output) is the default.
        and (name != "--output" or ctx.params[param.name or ""] != "-")
    }
    for options, others, is_need, hint in sorted(conflicts, key=lambda conflict: conflict.needs):
        for option, other in product(options.split(), others.split()):
            if option == other or option not in given or is_need == (other in given):
                continue
            if is_need:
                raise usage(f"{option} needs {' '.join(filter(None, (other, params[other].metavar)))}", hint)
            raise usage(f"{option} and {other} cannot be used together", hint)


_UNIT_NAMES = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION_PART = (
    r"(\d+(?:\.\d+)?) ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)"
    r"(?:(?: |,|and)+(?=\d)|(?=\d|$))"
)
_DAYS_BEFORE = {"now": None, "today": 0, "yesterday": 1}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def parse_timedelta(text: str) -> timedelta | None:
    """Parse a duration such as `90s`, `15m`, `1h`, `2d`, `1w`, `1h30m` or `2 hours`. Return None if it isn't valid."""
    text = " ".join(text.lower().split())
    parts = list(re.finditer(_DURATION_PART, text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    try:
        return sum((timedelta(**{_UNIT_NAMES[part[2][0]]: float(part[1])}) for part in parts), timedelta())
    except OverflowError:
        return timedelta.max


def parse_time_to_iso(text: str) -> str:
    """Parse a point in time (a day, or how long ago it was) and return it as ISO 8601. An ISO time is returned as is.

    Raises:
        Problem: If the text is none of these, or the time is too far in the past.
    """
    word = text.strip().lower()
    if word in _DAYS_BEFORE:
        return _format_midnight_days_ago(_DAYS_BEFORE[word])
    weekday = next((place for place, name in enumerate(_WEEKDAYS) if word in (name, name[:3])), None)
    if weekday is not None:
        return _format_midnight_days_ago((datetime.now().astimezone().weekday() - weekday) % 7)
    span = parse_timedelta(word.removesuffix("ago"))
    if span is not None:
        try:
            return (datetime.now(UTC) - span).isoformat()
        except OverflowError:
            raise usage(f"{text} is too far in the past") from None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        hint = "use 15m, 1h30m, 2d, yesterday, tuesday, 2026-11-25 or 2026-11-25T14:00"
        raise usage(f"{text!r} is not a time", hint) from None
    return text


def _format_midnight_days_ago(before: int | None) -> str:
    now = datetime.now().astimezone()
    if before is None:
        return now.isoformat()
    # Use midnight in local time, even on a day that has 23 or 25 hours.
    return datetime.combine(now.date() - timedelta(days=before), datetime.min.time()).astimezone().isoformat()


def _parse_duration_option(text: str, name: str) -> float:
    span = parse_timedelta(text)
    if not span:
        raise usage(f"{name} must be a time such as 90s, 15m, 1h, 2d or 1h30m, not {text}")
    return span.total_seconds()


def _parse_seconds_option(text: str, name: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        span = parse_timedelta(text)
        seconds = math.nan if span is None else span.total_seconds()
    if not 0 < seconds < 1e9:
        raise usage(f"{name} must be a positive number of seconds, or a time such as 15m or 1h30m, not {text}")
    return seconds


TIME = ParsedText(lambda text, name: parse_time_to_iso(text))
"""A point in time, as ISO 8601."""
DURATION = ParsedText(_parse_duration_option)
"""A duration that must have a unit, converted to seconds."""
SECONDS = ParsedText(_parse_seconds_option)
"""A duration with a unit, or a plain number of seconds, converted to seconds."""


class _GroupedParameters:
    def __init__(self, argument: str, build: Callable[..., Any], decorators: Sequence[ParameterDecorator]) -> None:
        self.argument = argument
        self._build, self._decorators = build, decorators
        self._parameter_names: list[str] = []
        for decorator in decorators:
            if isinstance(decorator, _GroupedParameters):
                self._parameter_names.append(decorator.argument)
            else:
                self._parameter_names += [param.name or "" for param in click.command()(decorator(lambda: None)).params]

    def __call__(self, function: Function) -> Function:
        """Return the command with the parameters added."""

        @wraps(function)
        def call_with_group(**values: Any) -> Any:
            values[self.argument] = self._build(**{name: values.pop(name) for name in self._parameter_names})
            return function(**values)

        decorated: Any = call_with_group
        for decorator in reversed(self._decorators):
            decorated = decorator(decorated)
        return decorated  # type: ignore[no-any-return]


def group_options(argument: str, build: Callable[..., Any], *decorators: ParameterDecorator) -> ParameterDecorator:
    """Return a decorator that adds parameters. It calls `build` with their values and passes the result to the command.

    Args:
        argument: The command's argument.
        build: Called with the values as keyword arguments.
        decorators: The decorators that add the parameters. They may themselves come from this function.
    """
    return _GroupedParameters(argument, build, decorators)


_PROJECT_CONFIG = {False: "", True: "config in stepflow.toml, else "}


def _url_and_profile_options(default: str, *, is_needed: bool = True) -> tuple[ParameterDecorator, ParameterDecorator]:
    url = f" [env: STEPFLOW_URL; default: {default}]" if is_needed else ""
    profile = " [env: STEPFLOW_PROFILE]" if is_needed else ""
    return (
        SERVER.option(
            "--url URL", f"Use the server at this URL, or local for the server started by 'stepflow serve'.{url}"
        ),
        SERVER.option(
            "--profile NAME", f"Use the server of this profile.{profile}", shell_complete=lazy_complete("profiles")
        ),
    )


running_server_options = group_options(
    "server", partial(ServerOptions, default="server", may_stop_on_exit=False), *_url_and_profile_options(DEFAULT_URL)
)
"""Adds --url and --profile for commands that work with data on a server, passed as `server`, a `ServerOptions`."""


def server_options(
    default: Default, *, is_needed: bool = True, reads_project: bool = False, has_config_default: bool = True
) -> ParameterDecorator:
    """Add --url, --profile, --local and --config, passed as `server`, a `ServerOptions` for `connect`.

    Args:
        default: Which server the command uses by default: `embedded`, or `server` for the one on localhost.
        is_needed: Whether the command contacts a server even if no option selects one.
        reads_project: Whether an embedded server may use the project's configuration.
        has_config_default: Whether the help says which configuration is used by default.
    """
    config_help = "Configure the embedded server with this file (implies --local)."
    if has_config_default:
        places = f"{_PROJECT_CONFIG[reads_project]}stepflow-config.yml next to the flow, else in the working folder"
        config_help += f" [default: {places}, else the builtin components]"
    return group_options(
        "server",
        partial(ServerOptions, default=default, reads_project=reads_project),
        *_url_and_profile_options("embedded" if default == "embedded" else DEFAULT_URL, is_needed=is_needed),
        SERVER.option("--local", "Start an embedded server, and stop it when the command exits."),
        SERVER.option("--config FILE", config_help, type=FILE),
    )


changed_profile_option = SERVER.option(
    "--profile NAME", "Change this profile. [default: the current one]", shell_complete=lazy_complete("profiles")
)
"""Adds --profile for commands that change a profile, passed as `profile`, its name or None."""


def _set_json_errors(ctx: click.Context, param: click.Parameter, value: str | bool | None) -> str | bool | None:
    """Print errors as JSON too if the output is JSON, because a program is likely to read both."""
    if value not in (None, False):
        current_session().json_errors = param.name == "json" or value in ("json", "jsonl")
    return value


def output_file_option(help: str, name: str = "output", *, metavar: str = "FILE", **more: Any) -> ParameterDecorator:
    """Return a decorator that adds -O/--output FILE, passed as the file's name or None."""
    return OUTPUT.option(f"-O, --output {metavar}", help, name, type=FILE, **more)


check_option = OUTPUT.option("--check", "Fail if FILE is out of date, instead of writing it.")
"""Adds --check for commands that write a file, passed as `check`."""
check_needs_file = needs("--check", "--output")
SERVER_NAMES = "--url --profile --local --config"
"""Options that select a server."""


def output_format_option(names: Sequence[str], help: str, **more: Any) -> ParameterDecorator:
    """Return a decorator that adds -o/--format FORMAT, passed as the format's name or None."""
    return OUTPUT.option("-o, --format FORMAT", help, type=_FormatChoice(names), **more)


class _FormatChoice(Choice):
    """The name of a format. If it looks like a file name, the error says which option to use for the file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the matching word."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            if ctx is not None and any(mark in str(value) for mark in "./"):
                file = shlex.quote(str(value))
                way = f"use -O {file}" if has_output_file_option(ctx.command) else f"add > {file}"
                error.hint = f"-o is the format; for a file, {way}"  # type: ignore[attr-defined]
            raise


def _output_options(
    formats: Iterable[str] = FORMATS,
    *,
    aliases: Mapping[str, str] | None = None,
    table: bool = False,
    file: bool = False,
) -> ParameterDecorator:
    """Add -o/--format and a hidden --json, passed as `output`, an `Output`.

    Args:
        formats: The format names.
        aliases: Additional names, mapped to the formats they stand for.
        table: Whether to add --fields and --wide.
        file: Whether to add -O/--output FILE.
    """

    def build_output(format: str | None, json: str | bool | None, to_file: str | None = None, **more: Any) -> Output:
        is_json = json not in (None, False)
        if is_json and format not in (None, "json"):
            raise usage(f"--json is -o json and cannot be used with -o {format}")
        format = "json" if is_json else (aliases or {}).get(format or "", format)
        names = json or more.get("fields")
        selected = [name.strip() for name in names.split(",")] if isinstance(names, str) else []
        # Without --format, the file still contains just the value. Its extension only decides how the value is written.
        by_ending = {"yaml": "yaml", "yml": "yaml", "jsonl": "jsonl"}.get((to_file or "").lower().rpartition(".")[2])
        output = Output(format, selected, None if format else by_ending, to_file, bool(more.get("wide")))
        output.check_file_writable()
        return output

    names = [*formats, *(aliases or ())]
    help = f"Print as {', '.join(names[:-1])} or {names[-1]}. With json and jsonl, errors are JSON too."
    decorators = [output_format_option(names, help, callback=_set_json_errors)]
    if file:
        decorators.insert(0, output_file_option("Write the result to this file, or - for standard output.", "to_file"))
    if table:
        # A word after --json is a list of fields, as in other programs.
        json_option: dict[str, Any] = {"callback": _set_json_errors, "hidden": True, "is_flag": False, "flag_value": ""}
        decorators += [
            OUTPUT.option("--fields A,B.C", "Print only these fields."),
            OUTPUT.option("--json A,B.C", "Same as -o json --fields A,B.C.", **json_option),
            OUTPUT.option("--wide", "Never truncate table columns or run IDs."),
        ]
    else:
        decorators.append(OUTPUT.option("--json", "Same as -o json.", callback=_set_json_errors, hidden=True))
    return group_options("output", build_output, *decorators)


def make_table_output_options(**aliases: str) -> ParameterDecorator:
    """Add -o/--format, --fields and --wide, passed as `output`, an `Output`.

    Args:
        **aliases: Additional names for formats, e.g. `pretty="table"`.
    """
    return _output_options(aliases=aliases, table=True)


def make_file_output_options(formats: Iterable[str] = FORMATS) -> ParameterDecorator:
    """Add -O/--output FILE and -o/--format, passed as `output`, an `Output` that writes to the file."""
    return _output_options(formats, file=True)


record_options = _output_options()
"""Adds -o/--format for commands that print one record, passed as `output`, an `Output`."""
output_options = make_table_output_options()
"""Adds -o/--format, --fields and --wide for commands that print a table, passed as `output`, an `Output`."""
file_output_options = make_file_output_options()
"""Adds -O/--output FILE and -o/--format, passed as `output`, an `Output` that writes to the file."""

components_option = option(
    "--components FILE", "Read components from a file written by 'components lock' instead of a server.", type=FILE
)
"""Adds --components FILE, passed as `components`, the file's name or None."""
offline_option = option(
    "--offline", "Check without a server, using the builtin components and any from --components or the project."
)
"""Adds --offline, passed as `offline`."""


def port_option(default: int, section: Section) -> ParameterDecorator:
    """Return a decorator that adds --port, passed as `port`."""
    return section.option(
        "--port PORT",
        f"Listen on this port (0 picks a free port). [default: {default}]",
        type=click.IntRange(0, 65_535),
        default=default,
    )


def host_option(section: Section) -> ParameterDecorator:
    """Return a decorator that adds --host, passed as `host`."""
    return section.option(
        "--host HOST",
        "Listen on this address. Any non-loopback address exposes the port to the network, unencrypted. [default: "
        "127.0.0.1]",
        default="127.0.0.1",
    )


def limit_option(help: str, *, default: int | None = None, section: Section = OPTIONS) -> ParameterDecorator:
    """Return a decorator that adds -n/--limit, passed as `limit`, the number or None.

    Args:
        help: The help text, without the default.
        default: The default limit to show in the help. It isn't passed to the command.
        section: The help heading.
    """
    shown_default = f" [default: {default}]" if default else ""
    return section.option("-n, --limit N", f"{help}{shown_default}", type=click.IntRange(min=1))


watch_option = OUTPUT.option("--watch", "Redraw the table every 2 seconds until Ctrl-C. Requires a terminal.")
"""Adds --watch, passed as `watch`. The command must call `output.live.require_redrawable` before sending requests."""


def timeout_seconds_option(help: str, section: Section = WAITING) -> ParameterDecorator:
    """Return a decorator that adds --timeout, passed as `timeout`, in seconds or None."""
    return section.option("--timeout SECONDS", help, type=SECONDS)


_TIMEOUT_OPTION = timeout_seconds_option(
    "Wait at most this long for the run to end. A run on a server continues after that. [default: no limit]"
)


class WaitOptions(NamedTuple):
    """How a command waits for a run."""

    timeout: float | None = None
    """Maximum number of seconds to wait, or None for no limit."""
    on_interrupt: Literal["detach", "cancel"] = "detach"
    """Whether Ctrl-C leaves the run running or cancels it."""


timeout_option = group_options("wait", WaitOptions, _TIMEOUT_OPTION)
"""Adds --timeout, passed as `wait`, a `WaitOptions`. Ctrl-C makes the command stop waiting, but the run continues."""
wait_options = group_options(
    "wait",
    WaitOptions,
    _TIMEOUT_OPTION,
    WAITING.option(
        "--on-interrupt",
        "Choose whether Ctrl-C leaves a run on a server running (detach) or cancels it (cancel). [default: detach]",
        type=Choice(["detach", "cancel"]),
        default="detach",
    ),
)
"""Adds --timeout and --on-interrupt, passed as `wait`, a `WaitOptions`."""

Confirm = Callable[[str], None]
"""Asks before a destructive action: `confirm("delete run ...")` returns on yes and raises a `Problem` on no."""


def _confirm_or_raise(yes: bool, deed: str) -> None:
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise usage(f"refusing to {deed} without confirmation", "add --yes")
    # Don't use `click.confirm`, because it would write to standard output.
    click.echo(f"{escape(deed[:1].upper() + deed[1:])}? [y/N] ", nl=False, err=True)
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):
            # After Ctrl-C or Ctrl-D, the cursor is still on the line of the prompt.
            click.echo(err=True)
    if answer.strip().lower() not in ("y", "yes"):
        raise usage(f"not confirmed: did not {deed}")


confirm_option = group_options(
    "confirm",
    lambda yes: partial(_confirm_or_raise, yes),
    OUTPUT.option("-y, --yes", "Do not ask for confirmation.", is_risky=True),
)
"""Adds -y/--yes, passed as `confirm`, which the command calls with a description of the action."""


def labels_option(help: str, section: Section = OPTIONS) -> ParameterDecorator:
    """Return a decorator that adds --label, passed as a dict, `labels`."""
    return section.option("--label NAME=VALUE", help, "labels", multiple=True, callback=_parse_labels)


def _parse_labels(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not name or not equals:
            raise usage(f"a label must be NAME=VALUE, not {text!r}")
        if labels.setdefault(name, value) != value:
            raise usage(f"label {name} is set twice, with different values")
    return labels
