"""Project files: where they are found, what they set, and what is refused."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest
from stepflow_client.errors import FlowFileError
from stepflow_client.flows.project import (
    CheckRules,
    Project,
    find_project,
    find_server_config,
    is_flow_file,
    require_existing_file,
)

SETTINGS = """\
flows = ["flows", "extra/one.yaml"]
components = "stepflow-components.json"
target = "0.13"
config = "server/stepflow-config.yml"
[test]
config = "server/test.yml"
[validate]
ignore = ["unused-step"]
fail-on = "warning"
type-check = true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project folder, with a parent folder for files outside the project."""
    project = tmp_path / "project"
    project.mkdir()
    return project


def write(folder: Path, text: str) -> Path:
    file = folder / "stepflow.toml"
    file.write_text(text)
    return file


def test_project_settings(folder: Path) -> None:
    file = write(folder, SETTINGS)
    inner = folder / "flows" / "deep"
    inner.mkdir(parents=True)
    (inner / "flow.yaml").write_text("output: 1\n")
    assert find_project(inner / "flow.yaml") == Project(
        file=file,
        flows=(folder / "flows", folder / "extra" / "one.yaml"),
        components=folder / "stepflow-components.json",
        target="0.13",
        config=folder / "server" / "stepflow-config.yml",
        test_config=folder / "server" / "test.yml",
        rules=CheckRules(ignore=("unused-step",), fail_on="warning", type_check=True),
    )
    assert find_project(inner / "not yet written.yaml") == find_project(inner)


def test_paths_are_relative_in_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'components = "c.json"')
    monkeypatch.chdir(folder)
    project = find_project()
    assert (str(project.file), str(project.components)) == ("stepflow.toml", "c.json")
    assert find_project("flows/flow.yaml") == project


def test_settings_in_pyproject(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.stepflow]\ntarget = "0.12"\n[tool.other]\nurl = "http://x"\n')
    assert find_project(folder).target == "0.12"
    write(folder, "")
    assert find_project(folder) == Project(file=folder / "stepflow.toml")


def test_other_pyproject_files_are_skipped(folder: Path) -> None:
    write(folder, 'target = "0.12"')
    inner = folder / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text('[project]\ndependencies = ["stepflow-client"]\n')
    assert find_project(inner).target == "0.12"
    (inner / "pyproject.toml").write_text("not toml at all")
    assert find_project(inner).target == "0.12"
    write(inner, 'target = "0.11"')
    assert find_project(inner).target == "0.11"


def test_the_search_ends_at_a_repository(folder: Path) -> None:
    write(folder, 'target = "0.12"')
    inner = folder / "clone" / "flows"
    inner.mkdir(parents=True)
    assert find_project(inner).target == "0.12"
    (folder / "clone" / ".git").mkdir()
    assert find_project(inner) == Project()
    write(folder / "clone", 'target = "0.11"')
    assert find_project(inner).target == "0.11"


def test_the_search_ends_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'target = "0.12"')
    home = folder / "me"
    (home / "flows").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    assert find_project(home / "flows") == Project()


def test_a_project_in_a_world_writable_parent_is_ignored(folder: Path) -> None:
    write(folder, 'target = "0.12"')
    inner = folder / "mine"
    inner.mkdir()
    folder.chmod(0o1777)
    assert find_project(inner) == Project()
    # A user who works in that folder has chosen it.
    assert find_project(folder).target == "0.12"


def test_inaccessible_folders_are_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'target = "0.12"')
    inner, original_stat = folder / "mine", Path.stat
    inner.mkdir()

    def refuse(path: Path, **options: Any) -> os.stat_result:
        if path == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return original_stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    assert find_project(inner) == Project()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('component = "c.json"', "unknown key component", "did you mean 'components'?"),
        ("[validate]\nignored = []", "unknown key validate.ignored", "did you mean 'ignore'?"),
        ('[validate]\ntarget = "0.13"', "unknown key validate.target", "move target to the top level"),
        ('[test]\nurl = "http://x"', "unknown key test.url", "the keys are config"),
        (
            'url = "http://evil.example"',
            "unknown key url",
            "a project file cannot name servers or credentials; use your own profile: stepflow config set "
            "profiles.NAME.url URL",
        ),
        ('token = "x"', "unknown key token", "a project file cannot name servers"),
        ('command = "rm"', "unknown key command", "a project file cannot name servers"),
        ("[headers]\nx = 1", "unknown key headers", "a project file cannot name servers"),
        ("[env]\nx = 1", "unknown key env", "a project file cannot name servers"),
        ("target = 0.13", "target must be a release from 0.10 to 0.13, not 0.13", "write it as text"),
        ('target = "1.0"', "target must be a release from 0.10 to 0.13, not '1.0'", None),
        ('flows = "flows"', "flows must be a list of strings, not 'flows'", None),
        ("flows = [1]", "flows must be a list of strings, not [1]", None),
        ("components = 5", "components must be a path, not 5", None),
        ('components = " "', "components must be a path, not ' '", None),
        ('components = "a\\u0000b"', "components must be a path, not 'a\\x00b'", None),
        ("config = ['sh', '-c']", "config must be a path, not ['sh', '-c']", None),
        ("test = 1", "test must be a table, not 1", None),
        ("[validate]\nfail-on = 'none'", "fail-on must be fatal, error or warning, not 'none'", None),
        ("[validate]\ntype-check = 'yes'", "type-check must be true or false, not 'yes'", None),
        ("[validate]\nselect = 'x'", "select must be a list of strings, not 'x'", None),
        ("target = ", "is not TOML", None),
        ("flows = '" + "x" * 500 + "'", "flows must be a list of strings, not 'xxx", None),
        ("a = " + "[" * 5000, "is nested too deeply", None),
    ],
)
def test_invalid_settings_are_refused(folder: Path, text: str, message: str, hint: str | None) -> None:
    file = write(folder, text)
    with pytest.raises(FlowFileError) as caught:
        find_project(folder)
    assert str(file) in caught.value.message
    assert message in caught.value.message
    assert (hint or "") in (caught.value.hint or "")
    assert len(caught.value.message) < len(str(file)) + 200


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../outside.json", "flows/../../outside.json", "..", "~/outside.json", "C:\\outside.json", "C:x",
        "\\\\server\\share", "..\\outside.json", "link/passwd", "link", "chain",
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["components", "config", "flows", "test.config"])
def test_paths_outside_the_project_are_refused(folder: Path, key: str, path: str) -> None:
    (folder / "link").symlink_to("/etc")
    (folder / "chain").symlink_to("link")
    value = f"['{path}']" if key == "flows" else f"'{path}'"
    write(folder, f"{key} = {value}")
    with pytest.raises(FlowFileError, match=rf"{key}.*(in the project's folder|points outside the project's folder)"):
        find_project(folder)


def test_a_link_within_the_project_is_allowed(folder: Path) -> None:
    (folder / "real.json").write_text("[]")
    (folder / "link.json").symlink_to("real.json")
    write(folder, 'components = "link.json"')
    assert find_project(folder).components == folder / "link.json"


def test_a_project_in_a_linked_folder_is_found(folder: Path, tmp_path: Path) -> None:
    write(folder, 'components = "c.json"')
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert find_project(linked).components == linked / "c.json"


def test_the_maximum_file_sizes_are_exact(folder: Path) -> None:
    file = write(folder, "#" * (2**20 - 1) + "\n")
    assert find_project(folder).file == file
    write(folder, "#" * 2**20 + "\n")
    with pytest.raises(FlowFileError, match="is larger than 1 MiB"):
        find_project(folder)
    file.write_text("components = 'c.json'")
    with (folder / "c.json").open("wb") as large:
        large.truncate(16 * 2**20 + 1)
    project = find_project(folder)
    assert require_existing_file(project, "config", folder / "c.json") == folder / "c.json"
    with pytest.raises(FlowFileError, match="is larger than 16 MiB"):
        require_existing_file(project, "components", folder / "c.json")
    with (folder / "c.json").open("wb") as large:
        large.truncate(16 * 2**20)
    assert require_existing_file(project, "components", folder / "c.json") == folder / "c.json"


def test_a_server_configuration_is_found_in_the_first_folder_that_has_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, other = folder / "inner", folder / "other"
    for each in (inner, other):
        each.mkdir()
    assert find_server_config() is None
    assert find_server_config(inner, other) is None
    (other / "stepflow-config.yml").touch()
    assert find_server_config(inner, other) == other / "stepflow-config.yml"
    (inner / "stepflow_config.yaml").touch()
    assert find_server_config(inner, other) == inner / "stepflow_config.yaml"
    (inner / "stepflow-config.yml").touch()
    conflict = "has both stepflow-config.yml and stepflow_config.yaml"
    with pytest.raises(FlowFileError, match=f"^{re.escape(str(inner))} {conflict}") as caught:
        find_server_config(inner, other)
    assert caught.value.hint == "name one with --config, or remove the other"
    assert caught.value.path == str(inner / "stepflow-config.yml")
    monkeypatch.chdir(inner)
    with pytest.raises(FlowFileError, match=f"^the working folder {conflict}"):
        find_server_config(Path())


def test_there_is_no_project_in_a_deleted_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder.parent, "flows = [5]")
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert find_project() == Project()


def test_a_file_that_cannot_be_read_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(folder, "")
    flow = folder / "flow.yaml"
    flow.write_text("output: 1\n")
    assert is_flow_file(flow)

    def refuse(*_: object, **__: object) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert is_flow_file(flow) is False
    with pytest.raises(FlowFileError, match=re.escape(f"{file} cannot be read: Permission denied")):
        find_project(folder)


def test_missing_files_and_pipes_are_refused(folder: Path) -> None:
    write(folder, "components = 'c.json'")
    project = find_project(folder)
    for key, hint in (("components", "to write it, run 'stepflow components lock'"), ("config", None)):
        with pytest.raises(FlowFileError, match=rf"c\.json, which .*stepflow\.toml names as {key}, does not") as caught:
            require_existing_file(project, key, folder / "c.json")
        assert caught.value.hint == hint
    os.mkfifo(folder / "c.json")
    with pytest.raises(FlowFileError, match="is not a file"):
        require_existing_file(project, "components", folder / "c.json")
    (folder / "stepflow.toml").unlink()
    os.mkfifo(folder / "stepflow.toml")
    # A pipe would block, so it is not a project file.
    assert find_project(folder) == Project()
