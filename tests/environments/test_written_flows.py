"""What `stepflow codegen` writes works with the oldest pydantic that the client allows."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.schema_values import valid_values
from tests.cli.test_codegen_values import PARTS, schema_of, type_name, write_flows
from tests.environments.conftest import PROGRAMS, environment

pytestmark = [pytest.mark.environments, pytest.mark.timeout(400)]


def test_with_the_oldest_pydantic(tmp_path: Path) -> None:
    python = environment("oldest-pydantic", "pydantic==2.8.0", "typing-extensions==4.12.0")
    write_flows(tmp_path)
    values = {type_name(*part): list(itertools.islice(valid_values(schema_of(*part), "old"), 30)) for part in PARTS}
    (tmp_path / "values.json").write_text(json.dumps(values))
    done = subprocess.run(
        [python, PROGRAMS / "written_flows.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"2.8.0 {30 * len(PARTS)}\n", "", 0)
