"""`stepflow runs logs`."""

from __future__ import annotations

import click

from ...errors import Problem, usage
from ...output.columns import View, columns
from ...output.messages import note
from ...output.tables import format_line_time
from ...output.terminal import printable
from ...output.view import Output
from ...params.options import Choice, limit_option, option, output_options
from ...params.parsing import Command
from ...params.runs import recorded_run_argument
from ...runs.find import find_recorded_run, is_complete_id
from ...server.logs import LEVELS, KeptLine, find_runs, read_run_lines
from ...settings.history import get_history_setting

_FIELDS = ("time", "level", "target", "message", "times", "exception")
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
    if run_id.startswith("@"):
        run_id = find_recorded_run(run_id).run_id
    elif not is_complete_id(run_id):
        ids = find_runs(run_id)
        if len(ids) > 1:
            raise usage(f"several run ids begin with {run_id}", f"it may be {', '.join(ids[:5])}")
        run_id = ids[0] if ids else run_id
    lines = read_run_lines(run_id, everything=everything)
    if not lines:
        hint = (
            "kept are logs of servers that this command started, such as 'stepflow serve'; without workers, it only "
            "writes warnings and errors unless it is started with --log-level info"
        )
        if get_history_setting().value == "off":
            hint = "logs are kept only if the history is on: stepflow config set history on"
        raise Problem(f"no log is kept of run {run_id}", kind="not_found", hint=hint)
    levels = LEVELS[LEVELS.index(level) :]
    shown = [line for line in lines if line.level in levels][-(limit or 0) :]
    if not shown:
        note(f"none of the {len(lines)} lines of run {run_id} is of level {level} or above")
    if (output.format or "table") == "table" and not output.fields:
        output.write_all(map(_format_line, shown))
    else:
        output.records(({name: getattr(line, name) for name in _FIELDS} for line in shown), _LINE)


def _format_line(line: KeptLine) -> str:
    again = f"  (repeated {line.times} times)" if line.times > 1 else ""
    first = f"{format_line_time(line.time)}  {line.level:<5}  {line.message}{again}"
    indented = (f"  {text}" for text in (line.exception or "").splitlines())
    return "".join(f"{printable(text)}\n" for text in (first, *indented))
