"""The Python module that is written for a flow file: a function with @flow, and what it needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from stepflow_client._data.expressions import references

from .docstrings import docstring, quoted
from .layout import Expression, Group, call, data, written
from .names import Names, camel_name, is_reserved, plain_name
from .python_steps import Body, local_name, steps_in, takes_keywords
from .python_types import PythonTypes, python_names, python_names_of
from .python_values import NotInPython, Source, Sources, Unfit
from .references import OpenPlace
from .schemas import PREFIX, Schemas
from .stubs import Function, Stub, Stubs, imports_of

_HEAD = (
    '"""The flow {title}, written from a flow file by `stepflow convert`."""\n\nfrom __future__ import annotations\n\n'
)
_IMPORTS = {
    "pydantic": ("WithJsonSchema",),
    "typing": ("Annotated", "cast"),
    "stepflow_client.authoring": (
        *("Name", "OnError", "builtin", "coalesce", "component", "each", "exists", "flow", "if_unset", "iterate"),
        *("literal", "on_error", "variable", "when"),
    ),
}
_IMPORTED = (*(name for names in _IMPORTS.values() for name in names), "Any", "Mapping", "Sequence", "dataclass")
_SAID_OF_VARIABLES = ("default", "description", "env_var", "is_secret")


class FlowModule:
    """Writes the module of a flow.

    Args:
        flow: The flow.
        title: The flow's name, or that of its file.
        components: The components whose schemas are known.
        untyped: What is written without types: `input`, `output`, and paths of components.
        explicit: Which of `input`, `output` and the variables get the schema of the flow as it is.
    """

    def __init__(
        self, flow: Mapping[str, Any], title: str, components: Mapping[str, Stub], untyped: set[str], explicit: set[str]
    ) -> None:
        self._flow, self._title, self._components = flow, title, components
        self._untyped, self._explicit = untyped, explicit
        self._names = Names(_IMPORTED)
        name = plain_name(title, "flow")
        self.name = self._names.take(f"{name}_" if is_reserved(name) else name)
        self._prefix = camel_name(self.name)
        self._stubs = Stubs(self._names)
        self._schemas = Schemas(self._names)
        self._types = PythonTypes(self._schemas.named, self._names, is_input=False)
        self._constants: list[str] = []

    def source(self) -> str:
        """Return the source of the module.

        Raises:
            NotInPython: If there is no such function.
            Unfit: If a part cannot be written with types.
        """
        parameters = [*self._input_parameter, *self._variables]
        returned = self._annotation("output") if self._flow.get("output") is not None else "None"
        body = self._body()
        examples = "".join(f"{each}\n" for each in self._examples())
        stubs = [each for function in self._functions.values() for each in function.sources]
        listed = ", ".join(parameters)
        if len(listed) > 80:
            listed = "\n" + "".join(f"    {each},\n" for each in parameters)
        head = f"{self._decorator}\ndef {self.name}({listed}) -> {returned}:\n"
        said = docstring(self._description, "    ")
        function = f"{head}{said}{body or ('' if said else '    pass' + chr(10))}"
        whole = "\n\n".join(
            [*self._constants, *self._types.classes(), *stubs, function, *([examples] if examples else [])]
        )
        shown = " ".join(self._title.split()).replace("\\", "").replace('"', "")
        gap = "\n" if self._constants else "\n\n"
        return f"{_HEAD.format(title=shown)}{imports_of(whole, _IMPORTS)}{gap}{whole}"

    @property
    def _description(self) -> str | None:
        """The description, if a docstring can say it."""
        text = self._flow.get("description")
        said = docstring(text, "    ")
        if not isinstance(text, str) or not said or inspect.cleandoc(said.strip().strip('"').rstrip()) != text:
            return None
        return text

    @property
    def _decorator(self) -> str:
        flow = self._flow
        given: list[tuple[str, Expression]] = []
        if (flow.get("name") or self.name) != self.name:
            given.append(("name", data(flow["name"])))
        if flow.get("description") is not None and self._description is None:
            given.append(("description", data(flow["description"])))
        for key in ("version", "metadata"):
            if flow.get(key) is not None:
                given.append((key, data(flow[key])))
        test = flow.get("test") or {}
        config = test.get("configFile") or test.get("config")
        if config is not None:
            given.append(("test_config", data(config)))
        return written(call("@flow", given)) if given else "@flow"

    def _schema(self, *path: str) -> Any:
        found: Any = self._flow.get("schemas") or {}
        for key in ("properties", *path):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) and found else None

    @cached_property
    def _read(self) -> dict[str, Mapping[str, Any]]:
        """The schemas of the input and the output in the form used for generation."""
        shared = self._flow.get("schemas") or {}
        return {
            part: self._schemas.read(schema, f"{self._prefix}{part.title()}", OpenPlace(part, schema, shared))
            for part in ("input", "output")
            if (schema := self._schema(part)) is not None and part not in self._untyped
        }

    def _annotation(self, part: str) -> str:
        """Return the type of the input or the output."""
        text = self._types.text(self._read.get(part, {}))
        return self._with_schema(text, part, self._schema(part))

    def _with_schema(self, text: str, part: str, schema: Any) -> str:
        if schema is None or (part not in self._explicit and text != "Any"):
            return text
        name = self._names.take(f"{part}_schema".upper().replace("-", "_"))
        self._constants.append(f"{written(data(schema), f'{name}: dict[str, Any] = ')}\n")
        return f"Annotated[{text}, WithJsonSchema({name})]"

    @cached_property
    def _input_parameter(self) -> list[str]:
        return [f"given: {self._annotation('input')}"]

    @cached_property
    def _variable_names(self) -> dict[str, str]:
        """The names of the variables in Python, declared ones first."""
        declared = self._schema("variables", "properties") or {}
        parts = [*(step.get("input") for step in self._flow.get("steps") or ()), self._flow.get("output")]
        read = [each.variable for part in parts for each in references(part) if each.variable is not None]
        names = python_names({*declared, *read}, {*_IMPORTED, "given"})
        return {key: names[key] for key in dict.fromkeys([*declared, *read])}

    @cached_property
    def _variable_types(self) -> dict[str, Mapping[str, Any]]:
        """The schemas of the declared variables in the form used for generation."""
        declared = self._schema("variables", "properties") or {}
        shared = self._flow.get("schemas") or {}
        return {
            key: self._schemas.read(of_type, f"{self._prefix}{camel_name(key)}", OpenPlace(key, of_type, shared))
            for key, schema in declared.items()
            if f"${key}" not in self._untyped and (of_type := _type_of_variable(schema))
        }

    @cached_property
    def _variables(self) -> list[str]:
        found = []
        for key, name in self._variable_names.items():
            schema: Any = (self._schema("variables", "properties") or {}).get(key)
            schema = schema if isinstance(schema, Mapping) else {}
            of_type = _type_of_variable(schema)
            read = self._variable_types.get(key, {})
            kind = self._with_schema(self._types.text(read), plain_name(key, "variable"), of_type or None)
            kind = kind if name == key else f"Annotated[{kind}, Name({quoted(key)})]"
            words = {"default": "default", "description": "description", "env_var": "env_var", "is_secret": "secret"}
            given = [(words[word], data(schema[word])) for word in words if word in schema]
            found.append(f"{name}: {kind}{written(call('variable', given), ' = ') if given else ''}")
        return ["*", *found] if found else []

    @cached_property
    def _functions(self) -> dict[str, Function]:
        """The functions of the components that steps call."""
        steps = list(steps_in(self._flow))
        local = {local_name(str(step["id"])) for step in steps}
        found = {}
        for path in dict.fromkeys(step["component"] for step in steps):
            if path in ("/builtin/map", "/builtin/iterate") and path not in self._untyped:
                continue
            last = plain_name(path.rpartition("/")[2], "component")
            stub = None if path in self._untyped else self._components.get(path)
            name = self._names.take(f"call_{last}" if last in local or is_reserved(last) else last)
            if stub is not None and path.startswith("/builtin/"):
                made = self._stubs.function(stub, name, camel_name(last))
                found[path] = made._replace(name=f"builtin.{last}{'_' * is_reserved(last)}", sources=())
            elif stub is not None:
                found[path] = self._stubs.function(stub, name, camel_name(last))
            else:
                inputs = [step.get("input") for step in steps if step["component"] == path]
                found[path] = self._stubs.untyped(path, name, takes_whole=not takes_keywords(inputs))
        return found

    def _body(self) -> str:
        source = Source("given", "input", self._read.get("input", {}))
        variables = {
            key: Source(name, f"${key}", self._variable_types.get(key, {}))
            for key, name in self._variable_names.items()
        }
        functions = self._functions
        classes = {**self._schemas.named, **self._stubs.classes}
        taken = frozenset(self._names)
        body = Body(functions, Sources(source, variables, {}, classes), lambda: Names(taken))
        output = self._flow.get("output")
        body.write(self._flow, returns="output" not in self._read)
        if "output" in self._read and output is not None:
            made = constructed(output, self._read["output"], classes, body.value)
            body.lines.append(written(made, "return ", indent=4))
        return "".join(f"{line}\n" for line in body.lines)

    def _examples(self) -> Iterator[str]:
        """Yield the calls that add examples and test cases."""
        for each in self._flow.get("examples") or ():
            yield written(call(f"{self.name}.example", self._case(each)))
        test = self._flow.get("test") or {}
        for each in test.get("cases") or ():
            given = self._case(each)
            expected = each.get("output")
            if expected is not None:
                key = "result" if expected["outcome"] == "success" else "error"
                if expected.get(key) is None:
                    raise NotInPython(f"the test case {each['name']!r} expects null")
                word = "output" if key == "result" else "error"
                given.append((word, self._typed(expected[key], "output") if key == "result" else data(expected[key])))
            yield written(call(f"{self.name}.case", given))

    def _case(self, case: Mapping[str, Any]) -> list[tuple[str, Expression]]:
        found: list[tuple[str, Expression]] = [("", data(case["name"])), ("", self._typed(case["input"], "input"))]
        if case.get("description") is not None:
            found.append(("description", data(case["description"])))
        return found

    def _typed(self, value: Any, part: str) -> Expression:
        """Return an input or an output as an object of its class, if it fits."""
        if part not in self._read:
            return data(value)
        try:
            return constructed(value, self._read[part], self._schemas.named, data)
        except Unfit:
            return call("cast", [("", '"Any"'), ("", data(value))])


def _type_of_variable(schema: Any) -> dict[str, Any]:
    """Return the schema of a variable without what is said of it elsewhere."""
    return {key: each for key, each in schema.items() if key not in _SAID_OF_VARIABLES} if schema else {}


def constructed(
    value: Any, schema: Mapping[str, Any], classes: Mapping[str, Any], write: Callable[[Any], Expression]
) -> Expression:
    """Return a value whose objects are written as objects of their classes.

    Args:
        value: The value, or an expression.
        schema: Its schema, in the form used for generation.
        classes: The schemas of classes, by their names.
        write: Writes what has no class.

    Raises:
        Unfit: If an object does not fit its class.
    """
    name = str(schema.get("$ref", "")).removeprefix(PREFIX)
    known = classes.get(name, {})
    if "properties" not in known:
        return write(value)
    if not isinstance(value, Mapping) or any(key.startswith("$") for key in value):
        return write(value)
    required = set(known.get("required", ()))
    if not required <= value.keys() <= known["properties"].keys() or any(
        value[key] is None for key in value.keys() - required
    ):
        raise Unfit("output")
    names = python_names_of(known, classes)
    return Group(
        f"{name}(",
        [
            (f"{names[key]}=", constructed(each, known["properties"][key], classes, write))
            for key, each in value.items()
        ],
        ")",
    )
