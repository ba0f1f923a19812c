"""`stepflow codegen`: types that mypy and pyright accept, values that survive, functions that run."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError
from stepflow_cli.codegen.names import Names, camel_name, snake_name
from stepflow_client import ResultCache, StepflowClient, SyncStepflowClient
from stepflow_client._data.values import check_json

from tests.cli.codegen_flows import FLOWS, flow_of
from tests.cli.command import Stepflow
from tests.cli.golden import Golden

CALLS = """
from typing import Any, assert_type

from flows import *
from stepflow_client import FlowResult, StepflowClient, StepflowRuntime, SyncStepflowClient


async def calls(client: StepflowClient, runtime: StepflowRuntime, twin: SyncStepflowClient) -> None:
    to = SharedAddress(street="Main Street")
    shared = await run_shared(client, SharedInput(to=to, from_=to, name="Ada"), timeout=5)
    assert_type(shared, FlowResult[SharedAddress])
    assert_type(shared.output.zip, str | None)
    await run_reserved(runtime, ReservedInput(class_="a", None_="b", int="c"))
    await run_aliases(client, AliasesInput(a_b="1", a_b_1="2", with_dot="3"))
    await run_enums(client, EnumsInput(color="red", size=2, kind="x"))
    await run_variables(client, None, variables=VariablesVariables(api_key="secret"))
    tree = RecursiveTree(value=1, children=[RecursiveTree(value=2)])
    assert_type(run_recursive_sync(twin, tree).output.root, str | int | list[RecursiveJson])
    assert_type(run_defaults_sync(twin, DefaultsInput()), FlowResult[Any])
    nullable = await run_nullable(client, NullableInput(any=None, alone=NullableAddress(street="a")))
    assert_type(nullable.output.root, NullableAddress | None)
    assert_type(NullableInput(any=None).one, NullableAddress | None)
    assert_type(NullableInput(any=None).const, NullableAddress | None)
    assert_type(NullableInput(any=None).ref, NullableAddress | None)
    assert_type(NullableInput(any=None).twice, NullableAddress | str | None)
    assert_type(NullableInput(any=None).both, NullableAddress | None)
    assert_type(NullableInput(any=None).list_, list[NullableAddress | None] | None)
    assert_type(await run_equal(client, EqualInput(x=1)), FlowResult[EqualOutput])
    assert_type(WrongDefaultsInput().n, int | None)
    assert_type(run_arrays_sync(twin, ArraysInput([ArraysInputItem(n=1)])).output.pair, tuple[str, int] | None)
"""
WRONG = """
from flows import *
from stepflow_client import StepflowClient, SyncStepflowClient


async def calls(client: StepflowClient, twin: SyncStepflowClient) -> None:
    EnumsInput(color="blue")  # type: ignore[arg-type]
    PlainInput()  # type: ignore[call-arg]
    NullableInput(any={"zzz": 1})  # type: ignore[arg-type]
    PlainInput(name="a", unknown=1)  # type: ignore[call-arg]
    await run_plain(client, SharedAddress(street=""))  # type: ignore[arg-type]
    await run_plain(twin, PlainInput(name=""))  # type: ignore[arg-type]
    (await run_shared(client, SharedInput(to=SharedAddress(street="")))).output.city  # type: ignore[attr-defined]
"""
"""What type checkers refuse: mypy complains of each ignored line that has no fault."""


def written(stepflow: Stepflow, *names: str, output: str = "flows.py") -> list[str]:
    """Write the flows, and their module; return the names of their files."""
    files = []
    for name in names:
        path = stepflow.folder / "flows" / f"{snake_name(name)}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(flow_of(name)))
        files.append(f"flows/{path.name}")
    done = stepflow("codegen", *files, "-O", output)
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    return files


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"written_{path.parent.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Annotations are read where the class is looked for.
    sys.modules[spec.name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec.loader.exec_module(module)
    return module


def test_the_module_of_a_flow(stepflow: Stepflow, golden: Golden) -> None:
    written(stepflow, "own_defs", "defaults")
    done = stepflow("codegen", "flows/own_defs.json", "flows/defaults.json")
    assert done.stdout == (stepflow.folder / "flows.py").read_text()
    golden(done)


@pytest.mark.exhaustive
def test_type_checkers_accept_what_is_written_and_refuse_wrong_calls(stepflow: Stepflow) -> None:
    assert len(FLOWS) >= 20
    written(stepflow, *FLOWS)
    (stepflow.folder / "calls.py").write_text(CALLS)
    (stepflow.folder / "wrong.py").write_text(WRONG)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", "--cache-dir", ".mypy", "flows.py"]
    pyright = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "flows.py", "calls.py"]
    for command in ([*mypy, "calls.py", "wrong.py"], pyright):
        done = subprocess.run(command, cwd=stepflow.folder, capture_output=True, text=True, timeout=110)
        assert done.returncode == 0, done.stdout + done.stderr


def test_values_survive_their_types(stepflow: Stepflow) -> None:
    written(stepflow, *FLOWS)
    module = imported(stepflow.folder / "flows.py")
    for name, (_, values) in FLOWS.items():
        function = getattr(module, f"run_{snake_name(name)}")
        kind = inspect.signature(function, eval_str=True).parameters["input"].annotation
        for value in values:
            model = value if kind is Any else kind.model_validate(value)
            assert check_json(model, name) == value, name


def test_what_a_model_refuses_and_fills_in(stepflow: Stepflow) -> None:
    written(stepflow, "defaults", "enums", "limits", "maps")
    module = imported(stepflow.folder / "flows.py")
    filled = check_json(module.DefaultsInput(), "defaults")
    assert filled == {
        "n": 5, "list": ["a"], "to": {"street": "here"}, "many": [{"street": "there"}], "color": "green",
        "day": "2026-01-02", "map": {"a": [1]},
    }  # fmt: skip
    module.DefaultsInput().list_.append("b")
    assert module.DefaultsInput().list_ == ["a"]
    assert check_json(module.EnumsInput(color=None, kind=None), "given") == {"color": None, "kind": None}
    for wrong in ("EnumsInput(color='blue')", "LimitsInput(n=9)", "LimitsInput(s='aac')", "MapsInputClosed(y=1)"):
        with pytest.raises(ValidationError):
            eval(wrong, vars(module))


def test_null_and_wrong_defaults(stepflow: Stepflow) -> None:
    written(stepflow, "nullable", "wrong_defaults", "equal")
    module = imported(stepflow.folder / "flows.py")
    for wrong in ("NullableInput(any={'zzz': 1})", "NullableInput(any=5)", "NullableInput(any=None, list=[5])"):
        with pytest.raises(ValidationError):
            eval(wrong, vars(module))
    fields = module.WrongDefaultsInput.model_fields
    assert check_json(module.WrongDefaultsInput(), "defaults") == {"right": "x"}
    assert fields["n"].description == 'The default "five" does not fit and is left out.'
    assert module.EqualOutput is not module.EqualInput


def test_written_functions_run_flows(stepflow: Stepflow, server: str) -> None:
    written(stepflow, "shared", "aliases", "arrays", "variables")
    module = imported(stepflow.folder / "flows.py")
    to = module.SharedAddress(street="Main Street")
    # The flow's file changes: its module reads it when a function is called.
    path = stepflow.folder / "flows" / "shared.json"
    path.write_text(json.dumps(flow_of("shared") | {"output": {"$input": "$.to"}}))
    cache = ResultCache(stepflow.folder / "results.db")
    arrays = flow_of("arrays") | {"output": {"loose": {"$input": "$"}}}

    async def run() -> list[Any]:
        async with StepflowClient(server) as client:
            return [await module.run_shared(client, module.SharedInput(to=to), timeout=30, cache=cache),
                    await module.run_aliases(client, module.AliasesInput(a_b="1", a_b_1="2"))]  # fmt: skip

    first, second = asyncio.run(run())
    assert (first.output, second.output) == (to, {"a_b": "1", "a-b": "2"})
    with SyncStepflowClient(server) as twin:
        again = module.run_shared_sync(twin, module.SharedInput(to=to), cache=cache)
        assert (again.output, again.run_id) == (to, first.run_id)
        listed = module.run_arrays_sync(twin, module.ArraysInput([module.ArraysInputItem(n=1)]), flow=arrays)
        assert (type(listed.output), listed.output.loose) == (module.ArraysOutput, [{"n": 1}])
        telling = flow_of("variables") | {"output": {"$variable": "api-key"}}
        given = module.VariablesVariables(api_key="told")
        assert module.run_variables_sync(twin, variables=given, flow=telling).output == "told"


def test_it_is_the_same_byte_for_byte(stepflow: Stepflow) -> None:
    files = written(stepflow, "plain", "recursive", "unions", "enums")
    first = (stepflow.folder / "flows.py").read_bytes()
    (stepflow.folder / "pyproject.toml").write_text(
        "[tool.black]\nline-length = 40\nskip-string-normalization = true\n[tool.datamodel-codegen]\nreuse-model = 1\n"
    )
    (stepflow.folder / "below").mkdir()
    again = stepflow("codegen", *reversed(files), *files, "--output", "again.py", PYTHONHASHSEED="7")
    assert (again.code, (stepflow.folder / "again.py").read_bytes()) == (0, first)
    line = "cd below && stepflow codegen ../flows/*.json -O ../flows.py --check"
    checked = stepflow.shell(line)
    assert (checked.code, checked.stdout, checked.stderr) == (0, "", "stepflow: ../flows.py is up to date\n")
    assert (stepflow.folder / "flows.py").read_bytes() == first


def test_a_check_fails_where_the_file_is_another(stepflow: Stepflow) -> None:
    (file,) = written(stepflow, "plain")
    again = f"hint: write it again: stepflow codegen {file} -O flows.py\n"
    (stepflow.folder / file).write_text(json.dumps(flow_of("plain") | {"name": "another"}))
    before = (stepflow.folder / "flows.py").read_bytes()
    done = stepflow("codegen", file, "-O", "flows.py", "--check")
    assert (done.code, done.stderr) == (1, f"stepflow: flows.py is not what would be written\n{again}")
    assert (stepflow.folder / "flows.py").read_bytes() == before
    (stepflow.folder / "flows.py").unlink()
    done = stepflow("codegen", file, "-O", "flows.py", "--check")
    assert (done.code, done.stderr) == (1, f"stepflow: flows.py does not exist\n{again}")
    assert not (stepflow.folder / "flows.py").exists()


def test_without_the_extra_it_says_what_to_install(stepflow: Stepflow) -> None:
    (stepflow.home / "datamodel_code_generator.py").write_text("raise ImportError('not installed')\n")
    found = [str(stepflow.home), *filter(None, [stepflow.environment.get("PYTHONPATH")])]
    stepflow.environment["PYTHONPATH"] = os.pathsep.join(found)
    done = stepflow("codegen", "hello.yaml", "-O", "flows.py")
    assert (done.code, (stepflow.folder / "flows.py").exists()) == (2, False)
    assert "stepflow: codegen needs datamodel-code-generator" in done.stderr
    assert "pip install 'stepflow-cli[codegen]'" in done.stderr


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "#/$defs/Missing"}, "$ref leads nowhere: #/$defs/Missing"),
        ({"properties": {"a": {"$ref": "https://example.com/a.json"}}}, "$ref leads out of the flow"),
        ({"properties": {"a": {"type": "objekt"}}}, 'there is no type "objekt"'),
        ({"properties": {"a": 5}}, "a schema is a mapping, not 5"),
        ({"properties": {"a": {"$ref": "#"}}, "allOf": [{"$ref": "#"}]}, "allOf refers to itself: #"),
        ({"$ref": "#"}, "$ref refers to itself: #"),
    ],
)
def test_a_schema_that_is_none(stepflow: Stepflow, schema: Any, said: str) -> None:
    (stepflow.folder / "bad.json").write_text(json.dumps({"schemas": {"properties": {"input": schema}}, "steps": []}))
    done = stepflow("codegen", "bad.json", "-O", "flows.py")
    assert (done.code, said in done.stderr) == (2, True), done
    assert done.stderr.startswith("stepflow: bad.json: schemas.properties.input: ")
    assert not (stepflow.folder / "flows.py").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give at least one flow file"),
        (["-"], "a flow from standard input has no path"),
        (["hello.yaml", "--check"], "--check compares a file"),
        (["hello.yaml", "-O", ".", "--check"], ". is a directory, not a file"),
        (["missing.yaml", "-O", "flows.py"], "missing.yaml does not exist"),
        (["hello.yaml", "-O", "nowhere/flows.py"], "nowhere"),
    ],
)
def test_what_cannot_be_done(stepflow: Stepflow, words: list[str], said: str) -> None:
    done = stepflow("codegen", *words)
    assert (done.code, said in done.stderr) == (2, True), done


def test_names() -> None:
    assert [snake_name(each) for each in ("Order tea!", "orderTea", "class", "1st", "名前", "a--b")] == [
        "order_tea", "order_tea", "flow_class", "flow_1st", "flow", "a_b",
    ]  # fmt: skip
    assert [camel_name(each) for each in ("order-tea", "orderTea", "ünder", "1st", "$")] == [
        "OrderTea", "OrderTea", "Under", "1st", "",
    ]  # fmt: skip
    names = Names()
    assert [names.take("FlowResult"), names.take("A"), names.take("A")] == ["FlowResult2", "A", "A2"]
    forms = ("run_{}", "run_{}_sync")
    assert [names.take_all(each, forms) for each in ("a", "a", "a_sync")] == ["a", "a_2", "a_sync_2"]
