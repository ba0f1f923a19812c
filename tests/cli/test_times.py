"""Times and durations on the command line are parsed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner
from stepflow_cli.params.click_commands import Command
from stepflow_cli.params.options import SECONDS, option, parse_time_to_iso

from tests.cli.command import Stepflow

pytestmark = pytest.mark.in_process


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("15min", timedelta(minutes=15)),
        ("1.5h", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("2 d ago", timedelta(days=2)),
        ("1W", timedelta(weeks=1)),
        ("2 hours ago", timedelta(hours=2)),
        ("1 hour 5 minutes", timedelta(minutes=65)),
        ("1 day, 2 hrs and 3 sec ago", timedelta(days=1, hours=2, seconds=3)),
        ("now", timedelta()),
    ],
)
def test_durations(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    assert before <= datetime.fromisoformat(parse_time_to_iso(text)) + ago <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["2026-11-25", "2026-11-25T14:00:00Z", "20261125", "2026-11-25 14:00"])
def test_absolute_times_are_unchanged(text: str) -> None:
    assert parse_time_to_iso(text) == text


@pytest.mark.parametrize("text", ["1x", "h", "", "next week", "1h 2x", "1h,", "2 ago hours", "-1h"])
def test_invalid_times_are_rejected(stepflow: Stepflow, text: str) -> None:
    done = stepflow("runs", "list", "--since", text)
    assert done.code == 2
    assert f"{text!r} is not a time\nhint: use 15m, 1h30m" in done.stderr


@pytest.mark.parametrize(("word", "days"), [("today", 0), ("Yesterday", 1)])
def test_days_start_at_local_midnight(word: str, days: int) -> None:
    start = datetime.fromisoformat(parse_time_to_iso(word))
    assert (start.hour, start.minute) == (0, 0)
    assert start.date() == datetime.now().date() - timedelta(days=days)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 10.0), ("1.5", 1.5), ("10s", 10.0), ("500 s", 500.0), ("1h30m", 5400.0), ("2 min", 120.0)],
)
def test_timeout_with_a_unit(text: str, seconds: float) -> None:
    @click.command(cls=Command)
    @option("--timeout SECONDS", "How long.", type=SECONDS)
    def command(timeout: float | None) -> None:
        click.echo(timeout)

    ran = CliRunner().invoke(command, ["--timeout", text])
    assert ran.output == f"{seconds}\n"


@pytest.mark.parametrize("text", ["0", "-1", "soon", "1x", "nan", "inf", "0s", ""])
def test_invalid_timeouts(stepflow: Stepflow, text: str) -> None:
    done = stepflow("runs", "watch", "-q", "01a2b3c4", f"--timeout={text}")
    assert done.code == 2
    assert f"--timeout must be a positive number of seconds, or a time such as 15m or 1h30m, not {text}" in done.stderr
