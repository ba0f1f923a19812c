"""All packages have the version in the file VERSION, and the same license."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import stepflow_api
import stepflow_cli
import stepflow_client
from stepflow_cli._version import VERSION as constant

from tests.releases import ROOT

PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
VERSION = (ROOT / "VERSION").read_text().strip()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_package_has_the_version_and_pins_its_siblings(package: Path) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert version(project["name"]) == VERSION, "run `make env`: the environment has another version installed"
    siblings = [each for each in project["dependencies"] if each.startswith("stepflow-")]
    assert all(each.endswith(f"=={VERSION}") for each in siblings)
    assert bool(siblings) == (package.name != "stepflow-api")


def test_the_command_has_the_version() -> None:
    assert constant == VERSION


def test_the_changelog_has_a_section_for_the_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert VERSION in headings, f"add a section '## {VERSION}' to CHANGELOG.md"


def test_each_package_exports_its_version() -> None:
    versions = {stepflow_api.__version__, stepflow_client.__version__, stepflow_cli.__version__}
    assert versions == {VERSION}


def test_dir_shows_public_names_only() -> None:
    assert dir(stepflow_client) == sorted(["__version__", *stepflow_client.__all__])


def test_each_package_contains_the_license() -> None:
    for package in sorted((ROOT / "packages").iterdir()):
        assert (package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
