"""`stepflow runs logs`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from ...errors import Problem, printable, usage
from ...output.color import is_terminal
from ...output.messages import note
from ...output.tables import local_time
from ...output.view import Output, View, columns
from ...params.options import limit_option, output_options
from ...params.parsing import Command
from ...params.runs import recorded_run_argument
from ...params.sections import Choice, option
from ...runs.find import is_whole, recorded_id
from ...server.logs import LEVELS, KeptLine, lines_of_run, runs_beginning_with
from ...settings.history import history_setting

_LINE = View(
    columns=columns("time", "level:status", "message", "times:number"), fields=("target", "exception"), name="message"
)


@click.command("logs", cls=Command)
@recorded_run_argument
@option(
    "--level LEVEL",
    "Only this level or above: info, warn, error. [default: info]",
    type=Choice(LEVELS),
    default=LEVELS[0],
)
@limit_option("lines, the last ones")
@option("--all", "Include lines that name only other runs.", to="everything")
@output_options
def command(run_id: str, level: str, limit: int | None, everything: bool, output: Output) -> None:
    """This works for runs on servers that the command has started on this machine: 'serve', or an embedded one. It
    prints the lines from the first to the last one that names the run, at level info and above. Lines of other runs are
    left out; lines of workers name no run. Repeated lines are printed once, with their count.

    The last 50 logs are kept beside the history, up to 20 MB each. None are kept if the history is off. A 'serve'
    without workers only writes warnings and errors, unless it is started with --log-level info.
    """
    run_id = _whole(run_id)
    found = lines_of_run(run_id, everything=everything)
    if not found:
        raise _nothing(run_id)
    graver = LEVELS[LEVELS.index(level) :]
    chosen = [line for line in found if line.level in graver][-(limit or 0) :]
    if not chosen:
        note(f"none of the {len(found)} lines of run {run_id} is of level {level} or above")
    if (output.format or "table") == "table" and not output.fields:
        output.write_all(map(_text, chosen))
    else:
        output.records(map(_fields, chosen), _LINE)


def _whole(text: str) -> str:
    if text.startswith("@"):
        return recorded_id(text)
    if is_whole(text):
        return text
    found = runs_beginning_with(text)
    if len(found) > 1:
        raise usage(f"several run ids begin with {text}", f"it may be {', '.join(found[:5])}")
    return found[0] if found else text


def _nothing(run_id: str) -> Problem:
    if history_setting().value == "off":
        hint = "logs are kept where the history is on: stepflow config set history on"
    else:
        hint = (
            "kept are logs of servers that this command started, such as 'stepflow serve'; without workers, it only "
            "writes warnings and errors unless it is started with --log-level info"
        )
    return Problem(f"no log is kept of run {run_id}", kind="not_found", hint=hint)


def _fields(line: KeptLine) -> dict[str, Any]:
    fields = asdict(line)
    del fields["run_ids"]
    return fields


def _text(line: KeptLine) -> str:
    # For people, only date and time; otherwise with the offset.
    time = (
        local_time(line.time).partition(" (")[0] if is_terminal(sys.stdout) else local_time(line.time, relative=False)
    )
    again = f"  (repeated {line.times} times)" if line.times > 1 else ""
    first = printable(f"{time}  {line.level:<5}  {line.message}{again}")
    return "\n".join([first, *(printable(f"  {each}") for each in (line.exception or "").splitlines())]) + "\n"
