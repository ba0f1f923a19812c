"""Check a released server: python scripts/check_server.py VERSION

Downloads the release, runs the server tests and the API conformance test on it, prints the differences, and records the
outcome in scripts/pages/servers.json, from which docs/servers.md is generated (`--write-only` does just that). Takes
about two minutes. The exit code is 1 if a server test fails, but not for differences from the API description.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import releases  # noqa: E402
from tests.differences import DIFFERENCES  # noqa: E402
from tests.server import conformance_server, conformance_traffic  # noqa: E402
from tests.server.conformance_spec import Spec  # noqa: E402

OUTCOMES = ROOT / "scripts" / "pages" / "servers.json"
PAGE = ROOT / "docs" / "servers.md"
NOTES = ROOT / "scripts" / "pages" / "servers.md"
PARTS = ("health_and_components", "flows", "runs", "stopping", "failures", "sub_runs", "blobs", "refusals")
SUITE = ["test_specification.py", "test_executor.py", "test_operations.py", "test_round_trip.py", "test_command.py"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?", help="the release, for example 0.13.0")
    parser.add_argument("--write-only", action="store_true", help="write docs/servers.md from what is known")
    options = parser.parse_args()
    outcomes: dict[str, dict[str, int | str]] = json.loads(OUTCOMES.read_text()) if OUTCOMES.exists() else {}
    good = True
    if not options.write_only:
        if not options.version:
            parser.error("name a release")
        try:
            releases.binary(options.version)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 2
        outcomes[options.version], good = check(options.version)
        OUTCOMES.write_text(json.dumps(outcomes, indent=2, sort_keys=True) + "\n")
    PAGE.write_text(page(outcomes))
    return 0 if good else 1


def check(version: str) -> tuple[dict[str, int | str], bool]:
    """Check a release, print the differences, and return the outcome."""
    passed, failures = run_suite(version)
    for name, count in sorted(passed.items()):
        failed = sum(1 for failure in failures if failure[0] == name)
        print(f"  {name:<28} {count:>4} passed, {failed} failed")
    for _, test, message in failures:
        print(f"  failed: {test}: {message}")
    faults = conformance(version)
    kinds = faults if isinstance(faults, str) else Counter(faults)
    print(f"  conformance: {kinds if isinstance(kinds, str) else _differences(len(kinds))}")
    for fault, count in [] if isinstance(kinds, str) else kinds.most_common():
        print(f"  differs ({count}x): {fault}")
    outcome: dict[str, int | str] = {
        "passed": sum(passed.values()),
        "failed": len(failures),
        "conformance": kinds if isinstance(kinds, str) else len(kinds),
    }
    return outcome, not failures


def _differences(kinds: int) -> str:
    return {0: "no difference", 1: "1 kind of difference"}.get(kinds, f"{kinds} kinds of difference")


def run_suite(version: str) -> tuple[Counter[str], list[tuple[str, str, str]]]:
    """Run the server tests on a release, and return passed counts by file and the failed tests."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        paths = [str(ROOT / "tests" / "server" / name) for name in SUITE]
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--servers", version]
        command += [f"--junit-xml={report.name}", *paths]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode > 1:
            raise SystemExit(f"the tests did not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        cases = list(ET.parse(report.name).getroot().iter("testcase"))
    passed: Counter[str] = Counter()
    failures = []
    for case in cases:
        name = case.get("classname", "").rpartition(".")[2]
        problem = next((child for child in case if child.tag in ("failure", "error")), None)
        if case.find("skipped") is not None:
            continue
        if problem is None:
            passed[name] += 1
        else:
            message = " ".join(problem.get("message", "").split())[:300]
            failures.append((name, case.get("name", ""), message))
            passed[name] += 0
    return passed, failures


def conformance(version: str) -> list[str] | str:
    """Call every operation in the API description, and return the differences in the release's responses."""
    if releases.number(version) < (0, 12):
        return "an older API, translated by the client"
    conformance_server.BINARY = releases.binary(version)
    spec = Spec.load()
    faults: list[str] = []
    with (
        conformance_server.running_server(releases.builtin_config(version)) as url,
        # Use a new connection for each request, because a server may close an idle one just as it's reused.
        httpx.Client(
            base_url=url, timeout=30, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        ) as client,
    ):
        for part in PARTS:
            recorder = conformance_traffic.Recorder(client)
            try:
                getattr(conformance_traffic, part)(recorder)
            except (LookupError, TypeError, AssertionError, ValueError, httpx.HTTPError) as error:
                faults.append(f"{part}: cannot be driven to its end: {type(error).__name__}: {error}")
            faults += [fault for exchange in recorder.exchanges for fault in spec.faults(exchange)]
    # Drop list indices, so that a difference shared by several elements counts as one.
    return [re.sub(r"\[\d+\]", "[]", fault) for fault in faults]


def page(outcomes: dict[str, dict[str, int | str]]) -> str:
    """Return the text of docs/servers.md."""
    known = sorted({*releases.RELEASES, *outcomes}, key=releases.number)
    lines = [
        "# Server releases",
        "",
        "One client works with server releases 0.10 to 0.13 (package `stepflow-orchestrator`).",
        "",
        "## Differences between releases",
        "",
        "| behavior | since | on older releases |",
        "|---|---|---|",
        *(f"| {row.feature} | {row.since} | {row.before} |" for row in DIFFERENCES.values()),
    ]
    lines += ["", NOTES.read_text(), *_checked(known, outcomes)]
    return "\n".join(lines) + "\n"


def _checked(known: list[str], outcomes: dict[str, dict[str, int | str]]) -> list[str]:
    """Return the section on how each release was checked."""
    lines = [
        "## Test results",
        "",
        "`make check-server VERSION=x` tests a release and updates this page.",
        "",
        "| release | server tests | responses compared with `openapi/stepflow.yaml` |",
        "|---|---|---|",
    ]
    for release in known:
        outcome = outcomes.get(release)
        if outcome is None:
            lines.append(f"| {release} | not checked | |")
            continue
        found = outcome["conformance"]
        told = found if isinstance(found, str) else _differences(found)
        lines.append(f"| {release} | {outcome['passed']} passed, {outcome['failed']} failed | {told} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
