"""Parses the command line: groups that import their commands lazily, and the options that every command accepts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from importlib import import_module
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import click

from ..errors import Session, usage
from .options import FILE, Choice, Conflict, Section, SectionedOption, check_option_conflicts

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_ORDER_KEY = "stepflow_cli.order"
_WHOLE_HELP_KEY = "stepflow_cli.whole_help"
_RUN_HELP = "RUN is a run ID or its first few digits. @last is the newest recorded run, and @2 the one before that."
# The help heading of the options that every command accepts.
_MESSAGES = Section("Messages")
_CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def list_common_options() -> list[click.Parameter]:
    """Return the options that every command accepts, and that `stepflow` also accepts before the command."""

    def store_in_session(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        session = ctx.find_root().obj
        if not isinstance(session, Session) or param.name is None or value in (None, 0, False):
            return
        if param.name == "verbosity":
            value += session.verbosity
        setattr(session, param.name, value)

    def add(usage: str, help: str, to: str | None = None, **settings: Any) -> None:
        options.append(
            _MESSAGES.build_option(usage, help, to, callback=store_in_session, expose_value=False, **settings)
        )

    options: list[click.Parameter] = []
    levels = Choice(["trace", "debug", "info", "warn", "error", "off"])
    level_help = (
        "Set the log level: trace, debug, info, warn, error or off. [env: STEPFLOW_LOG_LEVEL; default: off, or info "
        "with -v or --log-file]"
    )
    file_help = "Log to this file. [env: STEPFLOW_LOG_FILE; default: standard error]"
    add("-v, --verbose", "Print more messages. -vv adds debug logs and tracebacks.", "verbosity", count=True)
    add("-q, --quiet", "Suppress notes and progress.")
    add("--log-level LEVEL", level_help, type=levels, envvar="STEPFLOW_LOG_LEVEL")
    add("--log-file FILE", file_help, type=FILE, envvar="STEPFLOW_LOG_FILE")
    add("--color WHEN", "Use colors: auto, always or never. [default: auto]", type=Choice(["auto", "always", "never"]))
    return options


class Command(click.Command):
    """A command that also accepts the common options and records the order in which options were passed.

    Args:
        main_options: The options that `--help` shows, in this order and separated by spaces. By default, it shows all
            except the common options. `--help-all` shows every option.
        conflicts: Options that exclude or require each other.
    """

    def __init__(self, *args: Any, main_options: str = "", conflicts: Sequence[Conflict] = (), **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", _CONTEXT_SETTINGS)
        super().__init__(*args, **kwargs)
        self.main_options = main_options.split()
        self.conflicts = conflicts
        self.params.extend([_build_help_all_option(), *list_common_options()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, check for conflicts, and record the order of the options, which click discards."""
        given = list(args)
        try:
            if not ctx.resilient_parsing:
                _, _, ctx.meta[_ORDER_KEY] = self.make_parser(ctx).parse_args(args=list(given))
            args = super().parse_args(ctx, args)
            if not ctx.resilient_parsing:
                check_option_conflicts(ctx, self.conflicts)
            return args
        except click.BadOptionUsage as error:
            both = [[*param.opts, *param.secondary_opts] for param in self.params if param.secondary_opts]
            hint = next((f"use {' or '.join(names)}" for names in both if error.option_name in names), None)
            if hint is not None:
                raise usage(f"{error.option_name} does not accept a value", hint) from None
            # click only sets the context while it reads parameter values.
            error.ctx = error.ctx or ctx
            raise
        except click.UsageError as error:
            from .usage_error_hints import find_extra_argument_hint

            extra = re.search(r"unexpected extra arguments? \((.*)\)", error.message, re.DOTALL)
            is_of_run = any(param.name == "var" for param in self.params)
            hint = find_extra_argument_hint(extra[1], given) if extra is not None and is_of_run else None
            if hint is None:
                raise
            raise usage(error.message[:1].lower() + error.message[1:], hint) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Set up logging, then run the command."""
        session = ctx.find_root().obj
        if isinstance(session, Session):
            session.start_logging()
        return super().invoke(ctx)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and then the description. A short help page only gets the first two paragraphs."""
        _write_examples(ctx, formatter)
        whole = self.help
        try:
            if self._shows_short_help(ctx):
                self.help = "\n\n".join(cleandoc(whole or "").split("\n\n")[:2])
            super().format_help_text(ctx, formatter)
        finally:
            self.help = whole
        if any(param.metavar and param.metavar.strip("[].") == "RUN" for param in self.params):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(_RUN_HELP)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings. A short help page only gets the main options."""
        params = {param: getattr(param, "section", "Options") for param in self.get_params(ctx)}
        if self._shows_short_help(ctx):
            named = {name: param for param in params for name in param.opts}
            order = [*self.main_options, "--help-all", "--help"]
            params = dict.fromkeys((named[name] for name in order), "Options")
        elif not ctx.meta.get(_WHOLE_HELP_KEY):
            params = {param: section for param, section in params.items() if section != _MESSAGES.heading}
        sections: dict[str, list[tuple[str, str]]] = {}
        for param, section in params.items():
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections.setdefault(section, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def _shows_short_help(self, ctx: click.Context) -> bool:
        return bool(self.main_options) and not ctx.meta.get(_WHOLE_HELP_KEY)


def _build_help_all_option() -> SectionedOption:
    def show_full_help(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(get_full_help(ctx))
            ctx.exit()

    names, help = ["--help-all"], "Show all options, and exit."
    return SectionedOption(names, is_flag=True, is_eager=True, expose_value=False, callback=show_full_help, help=help)


def get_full_help(ctx: click.Context) -> str:
    """Return the full help for a context's command, including all of its options."""
    ctx.meta[_WHOLE_HELP_KEY] = True
    return ctx.get_help()


def _write_examples(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    from .help_examples import get_command_examples

    lines = get_command_examples(ctx)
    if lines:
        with formatter.section("Examples"):
            for line in lines:
                # Don't wrap the lines, so that examples can be copied.
                formatter.write(f"  {line}\n")


def list_parameters_in_command_line_order(ctx: click.Context, names: Sequence[str]) -> list[str]:
    """Return the names of these parameters in the order in which they were passed, including repeats."""
    return [param.name for param in ctx.meta.get(_ORDER_KEY, ()) if param.name in names]


# Names that other tools use for these commands.
_COMMAND_ALIASES = {"ls": "list", "rm": "delete", "show": "get", "describe": "get"}


class LazyGroup(click.Group):
    """A group that only imports a command's module when the command is called, and none of them to show its own help.

    The summary of a lazily imported command comes from `summaries`, and the rest of its help from its docstring. For a
    command added with `@group.command()`, both come from the docstring.

    Args:
        name: The group's name.
        summaries: A one-sentence summary of each lazily imported command, by name.
        package: The package that contains the commands' modules. The module for the command `name` is called `name`
            (with `_` for `-`) and defines the command as `command`.
        shared: The name of the module, by command name, for commands that share a module with others. It defines the
            command `name` as `name_command`.
        groups: The names of the commands that are groups themselves.
        aliases: Additional names for this group's commands. `ls`, `rm`, `show` and `describe` are always accepted if
            the group has a matching command.
        sections: The headings of the help and the commands under each of them. Commands that aren't listed here still
            work, but help and completion don't show them.
        more_help: Called to print additional text after the help if the group is called without a command.
    """

    command_class = Command

    def __init__(
        self,
        name: str,
        *,
        summaries: Mapping[str, str] | None = None,
        package: str = "",
        shared: Mapping[str, str] | None = None,
        groups: Sequence[str] = (),
        aliases: Mapping[str, str] | None = None,
        sections: Mapping[str, Sequence[str]] | None = None,
        more_help: Callable[[], None] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("context_settings", _CONTEXT_SETTINGS)
        super().__init__(name, no_args_is_help=False, **kwargs)
        self.params.append(_build_help_all_option())
        self.groups = groups
        self._summaries = dict(summaries or {})
        self._package = package
        self._shared_modules = shared or {}
        self._aliases = aliases or {}
        self._sections = sections
        self._more_help = more_help

    @property
    def summaries(self) -> Mapping[str, str]:
        """A one-sentence summary of each command by name, in the order of the help."""
        own = {name: get_summary(command) for name, command in self.commands.items() if name not in self._summaries}
        return {**self._summaries, **own}

    @property
    def shown_commands(self) -> list[str]:
        """The names of the commands that help and completion show."""
        shown = None if self._sections is None else {name for names in self._sections.values() for name in names}
        return [name for name in self.summaries if shown is None or name in shown]

    @property
    def aliases(self) -> Mapping[str, str]:
        """The names of commands, by alias."""
        known = {word: command for word, command in _COMMAND_ALIASES.items() if command in self.summaries}
        return {**known, **self._aliases}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the help."""
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command by name or alias and return it, or return None if there is no such command."""
        cmd_name = self.aliases.get(cmd_name, cmd_name)
        if cmd_name not in self.commands and cmd_name in self._summaries:
            attribute = cmd_name.replace("-", "_")
            module = import_module(f"{self._package}.{self._shared_modules.get(cmd_name, attribute)}")
            command = copy(getattr(module, f"{attribute}_command" if cmd_name in self._shared_modules else "command"))
            command.name = cmd_name
            command.help = "\n\n".join(filter(None, (self._summaries[cmd_name], cleandoc(command.help or ""))))
            self.commands[cmd_name] = command
        return self.commands.get(cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command name without importing any command."""
        from click.shell_completion import CompletionItem

        summaries = self.summaries
        names = [name for name in self.shown_commands if name.startswith(incomplete)]
        items = [CompletionItem(name, help=summaries[name]) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, or print the help if there aren't any."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            if self._more_help is not None:
                self._more_help()
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command with this name.

        Raises:
            Problem: If the command doesn't exist. The hint suggests the closest command in any group.
        """
        name = args[0]
        if name not in self.summaries and name not in self.aliases and not ctx.resilient_parsing:
            from .usage_error_hints import find_unknown_command_hint

            typed = f"{ctx.command_path} {name}"
            hint = find_unknown_command_hint(typed) or _suggest_command(name, ctx)
            raise usage(f"unknown command {typed}", hint or (f"to list the commands, run '{ctx.command_path} --help'"))
        resolved, command, rest = super().resolve_command(ctx, args)
        # Messages should use the command's real name, not an alias.
        return self.aliases.get(resolved or "", resolved), command, rest

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the description."""
        _write_examples(ctx, formatter)
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands before the options, because most people who read the help are looking for a command."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, with aligned columns."""
        summaries = self.summaries
        widest = max(map(len, self.shown_commands))
        for heading, names in (self._sections or {"Commands": self.shown_commands}).items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(widest), summaries[name]) for name in names])


def get_summary(command: click.Command) -> str:
    """Return the first paragraph of a command's help on one line."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


def _suggest_command(word: str, ctx: click.Context) -> str | None:
    """Return a `did you mean ...?` hint for an unknown command, or None if no command has a similar name.

    The hint gives just the name of a command in the same group, and the full path of any other command.

    Args:
        word: The word that the user typed.
        ctx: The context of the group that doesn't have this command.
    """
    from difflib import SequenceMatcher

    here, root = ctx.command_path, ctx.find_root()
    cli: Any = root.command
    # Import only the groups, not their commands.
    groups = [(cli, root.command_path)]
    groups += [(cli.get_command(root, name), f"{root.command_path} {name}".strip()) for name in cli.groups]
    ranks: dict[str, tuple[bool, bool, bool, float]] = {}
    for group, path in groups:
        for name in (*group.summaries, *group.aliases):
            match = SequenceMatcher(None, word.lower(), name).ratio()
            if match > 0.6:
                # Prefer the same (or almost the same) word in any group, then words in this group, then words with the
                # same first letter.
                rank = match >= 0.9, path == here, name[:1] == word[:1], round(match, 1)
                command = group.aliases.get(name, name)
                full = command if path == here else f"{path} {command}".strip()
                ranks[full] = max(ranks.get(full, rank), rank)
    ranked = sorted(ranks, key=lambda full: ranks[full], reverse=True)
    if not ranked:
        return None
    # Several groups can have a command with the same name, such as `list`.
    best = [full for full in ranked if ranks[full] == ranks[ranked[0]]][:3]
    return f"did you mean {' or '.join(best)}?"
