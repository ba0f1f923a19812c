"""`stepflow codegen` writes types that mypy and pyright accept, that keep values unchanged, and that run flows."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from stepflow_cli.codegen.python_names import UniqueNames, make_variable_name, to_camel_case
from stepflow_client import (
    InvalidArgumentError,
    OutputTypeError,
    ResultCache,
    StepflowClient,
    SyncStepflowClient,
)
from stepflow_client._data.wire import check_json
from stepflow_client.flow_models import TypedFlow

from tests.cli.codegen_flows import FLOWS, flow_with_schemas
from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.server.flows import unique
from tests.type_checkers import run_mypy

CALLS = """
import asyncio
from typing import Any, assert_type

from flows import *
from stepflow_client import (
    FlowResult, OutcomeStream, RunHandle, StepflowClient, StepflowRuntime, SyncOutcomeStream, SyncRunHandle,
    SyncStepflowClient,
)


async def calls(client: StepflowClient, runtime: StepflowRuntime, twin: SyncStepflowClient) -> None:
    to = SharedAddress(street="Main Street")
    given = SharedInput(to=to, from_=to, name="Ada")
    result = await shared.run(client, given, timeout=5, idempotency_key="a", check_input=True, progress=print)
    assert_type(result, FlowResult[SharedOutput])
    assert_type(result, FlowResult[SharedAddress])
    assert_type(result.output.zip, str | None)
    assert_type(await asyncio.create_task(shared.run(client, given)), FlowResult[SharedOutput])
    assert_type(shared.run(twin, given), FlowResult[SharedOutput])
    assert_type(await shared.submit(client, given, {"step": {}}, max_concurrency=2), str)
    assert_type(shared.submit(twin, given), str)
    assert_type(await shared.start_run(runtime, given, private_copy=True), RunHandle[SharedOutput])
    assert_type(shared.start_run(twin, given), SyncRunHandle[SharedOutput])
    assert_type(await shared.result(client, "id", timeout=5), FlowResult[SharedOutput])
    assert_type(await shared.result(runtime, "id", timeout=5), FlowResult[SharedOutput])
    assert_type(shared.map(runtime, [given]), OutcomeStream[SharedOutput])
    assert_type(shared.result(twin, "id", wait=False), FlowResult[SharedOutput])
    assert_type(shared.map(client, [given], journal="a.journal"), OutcomeStream[SharedOutput])
    assert_type(shared.map(twin, (each for each in [given]), ordered=True), SyncOutcomeStream[SharedOutput])
    async with shared.map(client, [given]) as outcomes:
        async for outcome in outcomes:
            assert_type(outcome.unwrap().street, str)
    await reserved.run(runtime, ReservedInput(class_="a", None_="b", int="c"))
    await aliases.run(client, AliasesInput(a_b="1", a_b_1="2", with_dot="3"))
    await enums.run(client, EnumsInput(color="red", size=2, kind="x"))
    await variables.run(client, None, variables=VariablesVariables(api_key="secret"))
    await plain.run(client, PlainInput(name="a"), variables={"a": 1})
    tree = RecursiveInput(value=1, children=[RecursiveTree(value=2)])
    assert_type(recursive.run(twin, tree).output, str | int | list[RecursiveJson])
    assert_type(defaults.run(twin, DefaultsInput()), FlowResult[Any])
    assert_type(DefaultsInput().n, int)
    assert_type((await nullable.run(client, NullableInput(any=None))).output, NullableAddress | None)
    assert_type(NullableInput(any=NullableAddress(street="a")).one, NullableAddress | None)
    assert_type(NullableInput(any=None).const, NullableAddress | None)
    assert_type(NullableInput(any=None).ref, NullableAddress | None)
    assert_type(NullableInput(any=None).twice, NullableAddress | str | None)
    assert_type(NullableInput(any=None).both, NullableAddress | None)
    assert_type(NullableInput(any=None).list_, list[NullableAddress | None] | None)
    assert_type(await equal.run(client, EqualInput(x=1)), FlowResult[EqualOutput])
    assert_type(WrongDefaultsInput().n, int | None)
    assert_type(arrays.run(twin, [ArraysInputItem(n=1)]).output.pair, tuple[str, int] | None)
    assert_type(await scalars.run(client, "x"), FlowResult[int])
    assert_type(AllOfInput(id=1, note="a").note, str)
"""
WRONG = """
from flows import *
from stepflow_client import StepflowClient, SyncStepflowClient


async def calls(client: StepflowClient, twin: SyncStepflowClient) -> None:
    EnumsInput(color="blue")  # type: ignore[arg-type]
    PlainInput()  # type: ignore[call-arg]
    NullableInput(any={"zzz": 1})  # type: ignore[arg-type]
    PlainInput(name="a", unknown=1)  # type: ignore[call-arg]
    await plain.run(client, SharedAddress(street=""))  # type: ignore[call-overload]
    await plain.run(client)  # type: ignore[call-overload]
    await plain.run(client, PlainInput(name=""), tiemout=5)  # type: ignore[call-overload]
    await plain.run(twin, PlainInput(name=""))  # type: ignore[misc]
    await variables.run(client, None, variables={"n": 1})  # type: ignore[call-overload]
    plain.map(client, [SharedAddress(street="")])  # type: ignore[list-item]
    DefaultsInput(n=None)  # type: ignore[arg-type]
    (await shared.run(client, SharedInput(to=SharedAddress(street="")))).output.city  # type: ignore[attr-defined]
"""
"""Calls that type checkers must refuse: mypy reports every unused `type: ignore`."""


def write_module(stepflow: Stepflow, *names: str, output: str = "flows.py") -> list[str]:
    """Write the flows and their generated module. Return the names of the flow files."""
    files = []
    for name in names:
        path = stepflow.folder / "flows" / f"{make_variable_name(name)}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(flow_with_schemas(name)))
        files.append(f"flows/{path.name}")
    done = stepflow("codegen", *files, "-O", output)
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    return files


@pytest.fixture(scope="module")
def all_flows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated module for all flows."""
    folder = tmp_path_factory.mktemp("all")
    write_module(Stepflow(folder, tmp_path_factory.mktemp("home")), *FLOWS)
    return folder / "flows.py"


def import_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"written_{path.parent.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Classes resolve their annotations in `sys.modules`.
    sys.modules[spec.name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec.loader.exec_module(module)
    return module


def test_module_of_a_flow(stepflow: Stepflow, golden: Golden) -> None:
    write_module(stepflow, "own_defs", "defaults")
    done = stepflow("codegen", "flows/own_defs.json", "flows/defaults.json")
    assert done.stdout == (stepflow.folder / "flows.py").read_text()
    golden(done)


@pytest.mark.exhaustive
def test_type_checkers_accept_the_module_and_refuse_wrong_calls(stepflow: Stepflow) -> None:
    assert len(FLOWS) >= 50
    write_module(stepflow, *FLOWS)
    (stepflow.folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    (stepflow.folder / "calls.py").write_text(CALLS)
    (stepflow.folder / "wrong.py").write_text(WRONG)
    modules = [stepflow.folder / name for name in ("flows.py", "calls.py", "wrong.py")]
    mypy = run_mypy(stepflow.folder / "cache", *modules)
    assert mypy.returncode == 0, mypy.stdout + mypy.stderr
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "flows.py", "calls.py"]
    pyright = subprocess.run(command, cwd=stepflow.folder, capture_output=True, text=True, timeout=110)
    assert pyright.returncode == 0, pyright.stdout + pyright.stderr


def test_values_are_unchanged_by_their_types(all_flows: Path) -> None:
    module = import_module(all_flows)
    for name, (_, values) in FLOWS.items():
        adapter = TypeAdapter(getattr(module, f"{to_camel_case(make_variable_name(name))}Input", Any))
        for value in values:
            assert check_json(adapter.validate_python(value), name) == value, name


def test_models_validate_and_fill_in_defaults(all_flows: Path) -> None:
    module = import_module(all_flows)
    filled = check_json(module.DefaultsInput(), "defaults")
    assert filled == {
        "n": 5, "list": ["a"], "to": {"street": "here"}, "many": [{"street": "there"}], "color": "green",
        "day": "2026-01-02", "map": {"a": [1]},
    }  # fmt: skip
    module.DefaultsInput().list_.append("b")
    assert module.DefaultsInput().list_ == ["a"]
    for call in ("EnumsInput(color='blue')", "LimitsInput(n=9)", "LimitsInput(s='aaaaaa')", "MapsInputClosed(y=1)",
                  "AllOfInput(id=1, note='')", "RangesInput(n=2)", "RangesInput(n='a')", "PatternsInput(end='b1')",
                  "PatternsInput(many=['a'])"):  # fmt: skip
        with pytest.raises(ValidationError):
            eval(call, vars(module))


def test_null_and_invalid_defaults(stepflow: Stepflow) -> None:
    write_module(stepflow, "nullable", "wrong_defaults", "equal")
    module = import_module(stepflow.folder / "flows.py")
    for call in ("NullableInput(any={'zzz': 1})", "NullableInput(any=5)", "NullableInput(any=None, list=[5])"):
        with pytest.raises(ValidationError):
            eval(call, vars(module))
    fields = module.WrongDefaultsInput.model_fields
    assert check_json(module.WrongDefaultsInput(), "defaults") == {"right": "x"}
    assert fields["n"].description == 'The default "five" does not fit and is omitted.'
    assert module.EqualOutput is not module.EqualInput


def test_self_referencing_type(stepflow: Stepflow) -> None:
    loop = {"A": {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "string"}]}, "B": {"anyOf": [{"$ref": "#/$defs/A"}]}}
    input_schema = {
        "properties": {"a": {"$ref": "#/$defs/A", "default": "x"}, "b": {"$ref": "#/$defs/B", "default": 5}}
    }
    flow = {"schemas": {"$defs": loop, "properties": {"input": input_schema}}, "steps": []}
    (stepflow.folder / "loop.json").write_text(json.dumps(flow))
    assert stepflow("codegen", "loop.json", "-O", "flows.py").code == 0
    fields = import_module(stepflow.folder / "flows.py").LoopInput.model_fields
    assert fields["a"].default == "x"
    # JSON Schema does not define what B allows, so any default fits.
    assert fields["b"].default == 5


def test_none_is_omitted_unless_null_is_allowed(stepflow: Stepflow) -> None:
    write_module(stepflow, "nullable", "optional", "plain", "mixed_enums")
    module = import_module(stepflow.folder / "flows.py")
    address = module.NullableAddress(street="a", zip=None)
    for model, expected in (
        (module.PlainInput(name="a", n=None, b=None), {"name": "a"}),
        (module.OptionalInput(a=None, b=None, c=None), {"a": None, "c": None}),
        (module.OptionalInput(a=None), {"a": None}),
        (module.NullableInput(any=None, one=None, text=None, alone=None, list=None),
         {"any": None, "one": None, "text": None}),
        (module.NullableInput(any=address, twice=None, both=None, const=None, ref=None, null=None),
         {"any": {"street": "a"}, "twice": None, "both": None, "const": None, "ref": None, "null": None}),
        (module.MixedEnumsInput(odd=None, ratio=None, some=None, fixed=None), {"some": None}),
    ):  # fmt: skip
        assert check_json(model, "input") == expected
    changed = module.PlainInput(name="a", n=1)
    changed.n = None
    assert check_json([changed], "input") == [{"name": "a"}]


async def test_generated_flows_run(stepflow: Stepflow, server: str) -> None:
    write_module(stepflow, "shared", "aliases", "arrays", "variables")
    module = import_module(stepflow.folder / "flows.py")
    to = module.SharedAddress(street="Main Street")
    # The flow file is read when a method is called, so the change takes effect.
    path = stepflow.folder / "flows" / "shared.json"
    path.write_text(json.dumps(flow_with_schemas("shared") | {"output": {"$input": "$.to"}}))
    value, cache = module.SharedInput(to=to), ResultCache(stepflow.folder / "results.db")
    async with StepflowClient(server) as client:
        first = await module.shared.run(client, value, timeout=30, cache=cache)
        assert first.output == to
        second = await module.aliases.run(client, module.AliasesInput(a_b="1", a_b_1="2"))
        assert second.output == {"a_b": "1", "a-b": "2"}
        key = {"idempotency_key": unique("key"), "timeout": 30}
        run_id = await module.shared.submit(client, value, **key)
        handle = await module.shared.start_run(client, value, **key)
        assert (handle.run_id, (await handle.result()).output) == (run_id, to)
        assert (await module.shared.result(client, run_id, timeout=30)).output == to
        async with module.shared.map(client, [value, value], ordered=True) as outcomes:
            assert [(outcome.index, outcome.unwrap()) async for outcome in outcomes] == [(0, to), (1, to)]
        with pytest.raises(InvalidArgumentError):
            await module.shared.run(client, {"to": 5}, check_input=True)
    assert pickle.loads(pickle.dumps(module.shared)) == module.shared


def test_generated_flows_run_with_the_sync_client(stepflow: Stepflow, server: str) -> None:
    write_module(stepflow, "shared", "arrays", "variables", "scalars")
    module = import_module(stepflow.folder / "flows.py")
    item = module.ArraysInputItem(n=1)
    arrays = replace(module.arrays, flow=flow_with_schemas("arrays") | {"output": {"loose": {"$input": "$"}}})
    with SyncStepflowClient(server) as client:
        listed = arrays.run(client, [item], timeout=30)
        assert (type(listed.output), listed.output.loose) == (module.ArraysOutput, [{"n": 1}])
        run_id = arrays.submit(client, [item, item])
        assert arrays.result(client, run_id, timeout=30).output.loose == [{"n": 1}, {"n": 1}]
        assert arrays.start_run(client, []).result(timeout=30).output.loose == []
        with arrays.map(client, [[item], []], ordered=True) as outcomes:
            assert [outcome.unwrap().loose for outcome in outcomes] == [[{"n": 1}], []]
        returns_key = replace(
            module.variables, flow=flow_with_schemas("variables") | {"output": {"$variable": "api-key"}}
        )
        variables = module.VariablesVariables(api_key="told", n=None)
        assert returns_key.run(client, None, variables=variables, timeout=30).output == "told"
        with pytest.raises(OutputTypeError, match="does not fit ScalarsOutput"):
            module.scalars.run(client, "x", timeout=30)


def test_output_is_reproducible(stepflow: Stepflow) -> None:
    files = write_module(stepflow, "plain", "recursive", "unions", "enums")
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


def test_check_fails_if_the_file_differs(stepflow: Stepflow) -> None:
    (file,) = write_module(stepflow, "plain")
    again = f"hint: to update it, run stepflow codegen {file} -O flows.py\n"
    (stepflow.folder / file).write_text(json.dumps(flow_with_schemas("plain") | {"name": "another"}))
    before = (stepflow.folder / "flows.py").read_bytes()
    done = stepflow("codegen", file, "-O", "flows.py", "--check")
    assert (done.code, done.stderr) == (1, f"stepflow: flows.py is out of date\n{again}")
    assert (stepflow.folder / "flows.py").read_bytes() == before
    (stepflow.folder / "flows.py").unlink()
    done = stepflow("codegen", file, "-O", "flows.py", "--check")
    assert (done.code, done.stderr) == (1, f"stepflow: flows.py does not exist\n{again}")
    assert not (stepflow.folder / "flows.py").exists()


def test_missing_extra_is_named(stepflow: Stepflow) -> None:
    (stepflow.home / "datamodel_code_generator.py").write_text("raise ImportError('not installed')\n")
    folders = [str(stepflow.home), *filter(None, [stepflow.environment.get("PYTHONPATH")])]
    stepflow.environment["PYTHONPATH"] = os.pathsep.join(folders)
    done = stepflow("codegen", "hello.yaml", "-O", "flows.py")
    assert (done.code, (stepflow.folder / "flows.py").exists()) == (2, False)
    assert "stepflow: 'stepflow codegen' needs the extra stepflow-cli[codegen]" in done.stderr
    assert "packages/stepflow-cli[codegen]'" in done.stderr


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "#/$defs/Missing"}, "$ref leads nowhere: #/$defs/Missing"),
        ({"properties": {"a": {"$ref": "https://example.com/a.json"}}}, "$ref points outside the flow"),
        ({"properties": {"a": {"type": "objekt"}}}, 'unknown type "objekt"'),
        ({"properties": {"a": 5}}, "a schema must be a mapping, not 5"),
        ({"properties": {"a": {"$ref": "#"}}, "allOf": [{"$ref": "#"}]}, "allOf refers to itself: #"),
        ({"$ref": "#"}, "$ref refers to itself: #"),
    ],
)
def test_invalid_schemas(stepflow: Stepflow, schema: Any, message: str) -> None:
    (stepflow.folder / "bad.json").write_text(json.dumps({"schemas": {"properties": {"input": schema}}, "steps": []}))
    done = stepflow("codegen", "bad.json", "-O", "flows.py")
    assert (done.code, message in done.stderr) == (2, True), done
    assert done.stderr.startswith("stepflow: bad.json: schemas.properties.input: ")
    assert not (stepflow.folder / "flows.py").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pass at least one flow file"),
        (["-"], "a flow from standard input has no path"),
        (["hello.yaml", "--check"], "--check needs --output FILE"),
        (["hello.yaml", "-O", ".", "--check"], ". is a folder, not a file"),
        (["missing.yaml", "-O", "flows.py"], "missing.yaml does not exist"),
        (["hello.yaml", "-O", "nowhere/flows.py"], "nowhere"),
    ],
)
def test_invalid_arguments(stepflow: Stepflow, arguments: list[str], message: str) -> None:
    done = stepflow("codegen", *arguments)
    assert (done.code, message in done.stderr) == (2, True), done


def test_names_in_the_module_are_unique(all_flows: Path) -> None:
    tree = ast.parse(all_flows.read_text())
    imports = [
        name.asname or name.name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names
    ]
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    targets = [node.targets[0] for node in tree.body if isinstance(node, ast.Assign)]
    names = [*imports, *classes, *(node.id for node in targets if isinstance(node, ast.Name))]
    assert len(names) == len(set(names)) > 3 * len(FLOWS)
    assert not set(names) & set(dir(builtins))
    module = import_module(all_flows)
    flows = [each for each in vars(module).values() if isinstance(each, TypedFlow)]
    assert len(flows) == len(FLOWS)
    # All imported names are reserved, even if no field of these flows has such a name.
    assert all(make_variable_name(each) != each for each in imports)


def test_conversion_of_names() -> None:
    assert [make_variable_name(each) for each in ("Order tea!", "orderTea", "class", "1st", "名前", "a--b")] == [
        "order_tea", "order_tea", "flow_class", "flow_1st", "flow", "a_b",
    ]  # fmt: skip
    assert [to_camel_case(each) for each in ("order-tea", "orderTea", "ünder", "1st", "$")] == [
        "OrderTea", "OrderTea", "Under", "1st", "",
    ]  # fmt: skip
    names = UniqueNames()
    assert [names.make_unique(each) for each in ("FlowModel", "A", "A", "a", "a")] == [
        "FlowModel2",
        "A",
        "A2",
        "a",
        "a_2",
    ]
