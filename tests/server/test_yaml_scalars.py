"""The client parses plain YAML scalars like the server, whose parser `/builtin/load_file` uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from stepflow_client import StepflowRuntime
from stepflow_client.flows.reading import parse_yaml

SCALARS = """
    .7 +.7 -.7 +5 -5 5. -5. +5. 5.e3 .5e3 1e3 1E3 1e+3 1e-3 +1e3 1.5e3 0 -0 +0 -0.0 00.5 01.5 01e3 0e0 0.1
    0x1F 0X1F -0x1F +0x1f 0o17 0O17 -0o17 +0o17 0b101 0b2 0x 0o 0o8 0xG 0777 -0777 012 007 08 00 +08
    9007199254740991 0xFFFFFFFF 0o777777 1.7976931348623157e308
    inf nan Infinity NaN +.nan -.nan true True TRUE tRue false False FALSE fALSE null Null NULL nULL ~
    yes no on off y n Yes NO On OFF 1_000 1,000 1:30 190:20:30 2001-12-14 2001-12-14T21:59:43Z
    . + -. +. .e3 1e 1.e 0.1e ++1 1.2.3 = $x
""".split()  # noqa: SIM905

FLOW = {
    "steps": [
        {"id": "read", "component": "/builtin/load_file", "input": {"path": {"$input": "path"}, "format": "yaml"}}
    ],
    "output": {"$step": "read", "path": "$.data"},
}


def test_scalars_are_parsed_as_on_the_server(runtime: StepflowRuntime, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    text = "".join(f"- {scalar}\n" for scalar in SCALARS)
    path.write_text(text)
    result = runtime.sync_client.run(FLOW, {"path": str(path)})
    theirs, ours = result.raise_for_failure().output, parse_yaml(text)
    different = [
        (scalar, mine, their)
        for scalar, mine, their in zip(SCALARS, ours, theirs, strict=True)
        if mine != their or isinstance(mine, bool) != isinstance(their, bool)
    ]
    assert not different


@pytest.mark.parametrize("scalar", [".inf", "-.INF", ".nan"])
def test_infinities_and_nan_are_null_on_the_server(runtime: StepflowRuntime, tmp_path: Path, scalar: str) -> None:
    path = tmp_path / "value.yaml"
    path.write_text(f"v: {scalar}\n")
    result = runtime.sync_client.run(FLOW, {"path": str(path)})
    # The client refuses them instead (see tests/unit/flows/test_file.py).
    assert result.raise_for_failure().output == {"v": None}
