"""The batch examples for Spark and Ray Data in docs/guides/batches.md run: `make test-frameworks`.

The environments are large, and Spark needs Java. The documentation tests cover Dask.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stepflow_client import LogConfig, StepflowRuntime

from tests import releases, workers
from tests.documentation.blocks import in_language
from tests.environments import conftest as environments

pytestmark = pytest.mark.timeout(1200)

REQUIREMENTS = {"spark": ["pyspark~=4.3"], "ray": ["ray[data]~=2.60", "pyarrow>=20"]}


@pytest.fixture
def server_url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
        started = StepflowRuntime.start(log_config=LogConfig(forward=False))
    with started as server:
        yield server.url


def block_with(text: str) -> str:
    """Return the only Python block of the page that contains a text."""
    (block_text,) = [block.text for block in in_language("docs/guides/batches.md", "python") if text in block.text]
    return block_text


@pytest.mark.parametrize("framework", REQUIREMENTS)
def test_the_example_runs(framework: str, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert framework != "spark" or shutil.which("java"), (
        "Java is not installed (Debian: apt-get install default-jre-headless)"
    )
    monkeypatch.setattr(workers, "INSTALL_TIMEOUT", 900)
    python = environments.environment(framework, *REQUIREMENTS[framework])
    for flow in in_language("docs/quickstart.md", "yaml"):
        if flow.file_name is not None:
            (tmp_path / flow.file_name).write_text(flow.text)
    call = f"import json\nprint('records', json.dumps(with_{framework}()))\n"
    (tmp_path / "program.py").write_text(
        "\n".join([block_with("def greet("), block_with(f"def with_{framework}("), call])
    )
    environ = {
        **environments.clean_environ(),
        "STEPFLOW_URL": server_url,
        "PYSPARK_PYTHON": str(python),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Frameworks write user files to the test's folder.
        "HOME": str(tmp_path),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [python, "program.py"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("records ")]
    records = json.loads(line.removeprefix("records "))
    assert sorted(record["key"] for record in records) == list(range(100))
    assert {record["status"] for record in records} == {"completed"}
    assert len({record["run_id"] for record in records}) >= 4
    contents = {record["key"]: record["output"]["messages"][0]["content"] for record in records}
    assert contents == {number: f"Guest {number}" for number in range(100)}
