"""A FLOW argument such as `module:function` imports a flow; other values are explained, and changes reloaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from stepflow_cli.errors import Problem, Session
from stepflow_cli.inputs.flow_loading import (
    import_python_flow,
    is_python_flow,
    list_flow_module_files,
    load_flow_argument,
    load_flow_unless_id,
    read_flow_text,
)
from stepflow_cli.inputs.python_modules import ProjectModules
from stepflow_cli.main import cli

from tests.cli.command import Stepflow

_MODULE = """
from dataclasses import dataclass, field
print("imported")
hello = {"name": "hello", "steps": [], "output": {"$input": "$.name"}}

class Builder:
    def build(self):
        return hello

class Convertible:
    def to_dict(self):
        return hello

@dataclass
class Data:
    name: str = "data"
    steps: list = field(default_factory=list)

class Broken:
    def build(self):
        raise ValueError("no\\nsteps")

class Group:
    inner = {"name": "inner", "output": 1}
    other = {"name": "other"}

def plain():
    return hello

built, converted, data, broken, number = Builder(), Convertible(), Data(), Broken(), 5
_private = hello
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with the module `shop` and a package. Its imports are undone after the test."""
    (tmp_path / "shop.py").write_text(_MODULE)
    package = tmp_path / "parts" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "names.py").write_text("NAME = 'first'\n")
    (package / "flows.py").write_text("from .names import NAME\nfrom . import names\nflow = {'output': NAME}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [each for each in sys.modules if each.partition(".")[0] in ("shop", "parts")]:
        # Modules of the same name that other tests in this process imported.
        monkeypatch.delitem(sys.modules, name)
    session = Session()
    with click.Context(cli, obj=session):
        yield tmp_path
    if isinstance(session.modules, ProjectModules):
        session.modules.forget_imports()


@pytest.mark.parametrize("argument", ["shop:hello", "shop.py:hello", "./shop.py:hello", "shop:built", "shop:converted"])
def test_objects_that_are_flows(project: Path, argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_python_flow(argument)
    assert load_flow_argument(argument) == {"name": "hello", "steps": [], "output": {"$input": "$.name"}}
    assert load_flow_unless_id(argument) == read_flow_text(argument).root.value == load_flow_argument(argument)
    # The module is imported once, and its output does not go to standard output.
    assert capsys.readouterr() == ("", "imported\n")


def test_dataclasses_attributes_packages_and_paths(project: Path) -> None:
    assert load_flow_argument("shop:data") == {"name": "data", "steps": []}
    assert load_flow_argument("shop:Group.inner") == {"name": "inner", "output": 1}
    assert load_flow_argument("parts.inner.flows:flow") == {"output": "first"}
    assert load_flow_argument("parts/inner/flows.py:flow") == {"output": "first"}
    # A file with the name of another module is not confused with it.
    (project / "json.py").write_text("flow = {'output': 'own'}\n")
    assert load_flow_argument("json.py:flow") == {"output": "own"}
    assert hasattr(sys.modules["json"], "dumps")


def test_arguments_that_are_not_python_flows(project: Path) -> None:
    (project / "odd:name").write_text("output: file\n")
    for argument in (
        "odd:name",
        "flow.yaml:x",
        "a b:c",
        "shop",
        "shop:",
        ":hello",
        "shop.py",
        "-",
        "http://a:1",
        "a:1b",
    ):
        assert not is_python_flow(argument), argument
    assert load_flow_argument("odd:name") == {"output": "file"}


_FLOW_NAMES = "its flows are hello, built, converted, data, broken"
_ERRORS = {
    "shop:helo": ("shop has no flow helo", "did you mean hello?"),
    "shop:zzz": ("shop has no flow zzz", _FLOW_NAMES),
    "shop:plain": (
        "shop:plain is not a flow, but a function",
        "decorate the function with @flow from stepflow_client.authoring",
    ),
    "shop:Builder": ("shop:Builder is a class, not a flow", "did you mean built?"),
    "shop:Group.other": (
        "this is not a flow: it has 'name', but neither steps nor output",
        "a flow has steps: [...] and output: ...",
    ),
    "shop:number": ("shop:number is not a flow, but of type int", _FLOW_NAMES),
    "shop:broken": (
        "shop:broken does not produce a flow: ValueError: no steps (shop.py:21)",
        "to see the traceback, use -vv",
    ),
    "shpo:hello": ("no module named shpo", "did you mean shop?"),
    "parts.iner:flow": ("no module named parts.iner", "did you mean parts.inner?"),
    "parts.inner:flow": ("parts.inner has no flow flow", "it has no flow; decorate a function with @flow to make one"),
    "zzz:flow": (
        "no module named zzz",
        "modules are looked up in the working folder and in this command's environment",
    ),
    "shpo.py:hello": ("shpo.py does not exist", "did you mean shop.py?"),
    "shop.py": ("shop.py is a Python file, not a flow", "name the flow in it: shop.py:FUNCTION"),
    "wrong:flow": ("wrong cannot be imported: NameError: name 'undefined' is not defined (wrong.py:2)", ...),
    "wrong.py:flow": ("wrong.py cannot be imported: NameError: name 'undefined' is not defined (wrong.py:2)", ...),
    "syntax:flow": ("syntax cannot be imported: SyntaxError: '(' was never closed (syntax.py:1)", ...),
    "ends:flow": ("ends cannot be imported: SystemExit: 3 (ends.py:2)", ...),
    "needs:flow": ("needs cannot be imported: ModuleNotFoundError: No module named 'not_there' (needs.py:1)", ...),
    "names:flow": (
        "names cannot be imported: AttributeError: module 'stepflow_client.authoring.builtin' has no attribute "
        "'get_blb' (names.py:2)",
        "did you mean get_blob?",
    ),
    "behind:flow": ("behind cannot be imported: NameError: name 'undefined' is not defined (wrong.py:2)", ...),
}


def test_invalid_arguments_are_explained(project: Path) -> None:
    (project / "wrong.py").write_text("flow = {}\nundefined\n")
    (project / "syntax.py").write_text("flow = (\n")
    (project / "ends.py").write_text("import sys\nsys.exit(3)\n")
    (project / "needs.py").write_text("import not_there\n")
    (project / "names.py").write_text("from stepflow_client.authoring import builtin\nbuiltin.get_blb\n")
    (project / "behind.py").write_text("import wrong\n")
    for argument, (message, hint) in _ERRORS.items():
        with pytest.raises(Problem) as raised:
            load_flow_argument(argument)
        problem = raised.value
        assert (problem.message, problem.hint) == (message, "to see the traceback, use -vv" if hint is ... else hint), (
            argument
        )
        assert (problem.kind, problem.exit_code) == ("usage", 2)


def _write_same_size(file: Path, text: str) -> None:
    """Rewrite a file with the same size, and with the same modification time in seconds."""
    before = file.stat()
    file.write_text(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert file.stat().st_size == before.st_size


def test_changed_module_is_reloaded(project: Path) -> None:
    argument = "parts.inner.flows:flow"
    assert import_python_flow(argument) is import_python_flow(argument)
    names = project / "parts" / "inner" / "names.py"
    _write_same_size(names, "NAME = 'other'\n")
    assert load_flow_argument(argument) == {"output": "other"}
    assert not list(project.rglob("*.pyc"))
    names.write_text("NAME = undefined\n")
    with pytest.raises(Problem, match=r"name 'undefined' is not defined \(parts/inner/names.py:1\)"):
        load_flow_argument(argument)
    # The file with the error is watched, too.
    assert os.path.join("parts", "inner", "names.py") in list_flow_module_files(argument)
    names.write_text("NAME = 'third'\n")
    assert load_flow_argument(argument) == {"output": "third"}
    assert "stepflow_cli" in sys.modules


def test_files_of_a_flow(project: Path) -> None:
    assert list_flow_module_files("shop:hello") == list_flow_module_files("shop.py:hello") == ["shop.py"]
    assert list_flow_module_files("parts.inner:x") == [os.path.join("parts", "inner", "__init__.py")]
    assert list_flow_module_files("zzz:x") == []
    load_flow_argument("parts.inner.flows:flow")
    inner = [os.path.join("parts", "inner", each) for each in ("flows.py", "names.py", "__init__.py")]
    assert {*inner} <= {*list_flow_module_files("parts.inner.flows:flow")}


_CASES = """
hello = {
    "name": "hello",
    "steps": [{"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "$.name"}}}],
    "output": {"$step": "a", "path": "$.messages[0].content"},
    "test": {"cases": [{"name": "w", "input": {"name": "W"}, "output": {"outcome": "success", "result": "W"}}]},
}
wrong = {**hello, "output": {"$step": "b"}}
"""


def test_every_command_accepts_python_flows(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "shop.py").write_text(_CASES)
    input_options = ("--input-json", '{"name": "W"}')
    for command in (("run", "--url", server), ("submit",)):
        assert stepflow(*command, "shop:hello", *input_options).stdout == '"W"\n'
    done = stepflow("run", "--url", server, "shop:wrong", *input_options)
    assert (done.code, "shop:wrong is invalid: 1 fatal error" in done.stderr) == (3, True), done
    assert stepflow("validate", "shop:hello").stderr.endswith("shop:hello is valid: 1 warning\n")
    assert "undefined-step" in stepflow("validate", "--offline", "shop:wrong", "-o", "json").stdout
    assert "shop:hello: outputs with a type: 1 of 1" in stepflow("infer", "--offline", "shop:hello").stderr
    assert stepflow("infer", "--offline", "shop:hello", "-O").code == 0
    assert "schemas:" in (stepflow.folder / "hello.inferred.yaml").read_text()
    assert stepflow("test", "--url", server, "shop:hello").stderr.startswith("1 passed")
    assert "create_messages" in stepflow("visualize", "shop:hello", "-o", "mermaid").stdout
    stored = stepflow("flows", "store", "shop:hello").stdout
    assert stepflow("flows", "store", "shop.py:hello").stdout == stored
    assert "W" in stepflow("flows", "get", "shop:hello", "--examples").stdout


_AUTHORED = """\
from stepflow_client.authoring import builtin, flow


@flow
def kept(given: str) -> object:
    \"\"\"Read a blob.\"\"\"
    found = builtin.get_blob(blob_id=given)
    return found.data


@flow
def typed(given: str) -> object:
    \"\"\"Make a prompt.\"\"\"
    prompt = builtin.create_messages(user_prompt="a")
    return prompt.mesages
"""


def test_diagnostics_and_failures_name_the_line(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "shop.py").write_text(_AUTHORED)
    done = stepflow("run", "--url", server, "shop:kept", "--input-json", '"none"')
    assert done.code == 1
    assert "step 'found' is written at shop.py:7\n" in done.stderr
    done = stepflow("validate", "--offline", "shop:typed")
    assert "stepflow: shop.py:15: prompt: CreateMessagesOutput has no field 'mesages'" in done.stderr
    assert "hint: did you mean 'messages'?" in done.stderr
    (stepflow.folder / "shop.py").write_text(_AUTHORED.replace("found.data", "found").replace('"a"', "given.x"))
    done = stepflow("validate", "--offline", "shop:kept", "-o", "json", "--fields", "file,line,rule")
    assert done.code == 0, done


def test_codegen_imports_the_flow(stepflow: Stepflow) -> None:
    (stepflow.folder / "shop.py").write_text(_AUTHORED)
    module = stepflow("codegen", "shop:kept", "hello.yaml").stdout
    assert "\nfrom shop import kept as kept_flow\n" in module
    assert "\nkept = TypedFlow[KeptInput, Any, Variables](\n    kept_flow,\n)\n" in module
    done = stepflow("codegen", "shop.py:kept")
    assert done.code == 2
    assert done.stderr == (
        "stepflow: the module cannot import shop.py:kept by its file path\n"
        "hint: use the import path instead: shop:kept\n"
    )


def test_options_that_edit_files_refuse_python_flows(stepflow: Stepflow) -> None:
    (stepflow.folder / "shop.py").write_text(_CASES.replace('"result": "W"', '"result": "V"'))
    done = stepflow("validate", "--offline", "--fix", "shop:wrong")
    assert "--fix changes flow files, not flows in Python: shop:wrong" in done.stderr
    done = stepflow("test", "--update", "shop:hello")
    assert "--update changes flow files, not flows in Python: shop:hello" in done.stderr


def test_modules_are_imported_only_for_flow_arguments(stepflow: Stepflow) -> None:
    (stepflow.folder / "shop.py").write_text("from pathlib import Path\nPath('imported').touch()\nhello = {}\n")
    (stepflow.folder / "stepflow.toml").write_text('flows = ["shop:hello"]\n')
    assert "does not exist" in stepflow("validate", "--offline").stderr
    assert stepflow("validate", "--offline", ".").code in (0, 3)
    assert stepflow("visualize", "shop.py").code == 2
    assert stepflow("test", ".", "--case", "grace").code == 0
    line = "stepflow run shop:hello --example x"
    assert stepflow(COMP_WORDS=line, COMP_CWORD="4", _STEPFLOW_COMPLETE="bash_complete").code == 0
    assert not (stepflow.folder / "imported").exists()
