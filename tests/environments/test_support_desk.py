"""The application in examples/support_desk passes its own tests with its own requirements."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.environments.conftest import clean_environ, environment
from tests.releases import NEWEST, ROOT

pytestmark = [pytest.mark.environments, pytest.mark.timeout(300)]

EXAMPLE = ROOT / "examples" / "support_desk"


def python() -> Path:
    """Return the Python of the example's environment."""
    requirements = (EXAMPLE / "requirements.txt").read_text("utf-8").split()
    others = [each for each in requirements if not each.startswith("stepflow")]
    return environment("support_desk", *others, f"stepflow-py=={NEWEST}")


def run(*arguments: str) -> str:
    """Run the example's Python and return its output."""
    environ = clean_environ() | {"PATH": f"{python().parent}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python()), *arguments]
    done = subprocess.run(command, cwd=EXAMPLE, env=environ, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_tests_of_the_example_pass() -> None:
    assert " passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_demo_of_the_example() -> None:
    printed = run("demo.py")
    assert "POST /tickets 202 again: True" in printed
    assert "event: end" in printed
    assert "GET /tickets {'ticket': 't1', 'reply': 'Hello! You wrote: slow: my tea is cold.'}" in printed
    assert printed.count('"status":"completed"') == 2


if __name__ == "__main__":
    print(run("demo.py"), end="")
