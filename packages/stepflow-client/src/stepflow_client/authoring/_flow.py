"""Flows written as functions, and the decorator for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from .._base.lazy import lazy_module
from .._base.not_given import NOT_GIVEN
from ..errors import InvalidArgumentError
from ._lazy_modules import arguments, suggestions
from ._placeholders import authoring_error
from ._places import Place, find_calling_user_frame, set_context_variable
from ._run_methods import FlowMethods, InputT, OutputT
from ._scopes import check_decorated_is_function, encode_data, get_current_scope

if TYPE_CHECKING:
    from ..flows.expressions import Path
    from . import _flow_building as building
else:
    building = lazy_module("stepflow_client.authoring._flow_building")

P = ParamSpec("P")
In = TypeVar("In")
Out = TypeVar("Out")


class FlowValues(dict[str, Any], Generic[P]):
    """Values for a flow's variables, as returned by `Flow.variables`."""


# Flows whose functions are currently being called.
_calls: ContextVar[tuple[Any, ...]] = ContextVar("stepflow_calls", default=())


class Flow(FlowMethods[InputT, OutputT, FlowValues[P]], Generic[InputT, OutputT, P]):
    """A flow written as a function with the `flow` decorator. Clients accept it wherever they accept a flow.

    The function is called when the flow is first needed, not for each run. Each component it calls becomes a step.

    Example:
        ```python
        order.write("order.yaml")
        result = order.run(client, Order(sku="tea", qty=1))  # awaited with an asynchronous client
        print(result.unwrap().total)
        ```
    """

    def __init__(self, function: Callable[..., OutputT], options: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        """Use `flow` instead.

        Args:
            function: The function.
            options: The arguments passed to `flow`.
            names: Names that annotations may use in addition to the module's own.
        """
        self.function = function
        self._options, self._local_names = options, names
        self._examples: list[dict[str, Any]] = []
        self._cases: list[dict[str, Any]] = []
        self.name: str = options["name"] or function.__name__
        # Don't use `update_wrapper`: the function's own attributes would hide the methods.
        self.__name__, self.__qualname__ = function.__name__, function.__qualname__
        self.__doc__, self.__module__, self.__wrapped__ = function.__doc__, function.__module__, function

    def __repr__(self) -> str:
        """Return a representation with the flow's name."""
        return f"<flow {self.name}>"

    def __reduce__(self) -> str:
        # Pickle flows by name, like functions.
        return self.function.__qualname__

    def __call__(self, given: InputT = NOT_GIVEN, /, *arguments: P.args, **variables: P.kwargs) -> OutputT:
        """Add this flow's steps to the flow being written and return the function's result.

        The steps get IDs that are unique in that flow. Keyword arguments set this flow's variables.

        Raises:
            AuthoringError: If no flow is being written, or a variable without a default isn't passed.
        """
        get_current_scope(f"{self.function.__name__}()")
        if self in _calls.get():
            raise authoring_error(f"the flow {self.name} calls itself", "iterate() runs a function again and again")
        parts = self._parsed_signature
        if parts.input is not None and given is NOT_GIVEN:
            raise authoring_error(f"the flow {self.name} needs its input", f"pass {parts.input}")
        for name in variables:
            if name not in parts.names:
                hint = suggestions.suggest_or_list(name, parts.names, "its variables are")
                raise authoring_error(f"the flow {self.name} has no variable {name!r}", hint)
        values: dict[str, Any] = dict(variables)
        for name, variable in parts.variables.items():
            if name not in values:
                if variable.default is NOT_GIVEN:
                    raise authoring_error(f"the flow {self.name} needs the variable {name!r}", f"pass {name}=")
                values[name] = variable.default
        return self._call_function_tracking_recursion([given] if parts.input else [], values)

    def _call_function_tracking_recursion(self, input: list[Any], variables: Mapping[str, Any]) -> OutputT:
        with set_context_variable(_calls, (*_calls.get(), self)):
            return self.function(*input, **variables)

    @property
    def flow(self) -> Flow[InputT, OutputT, P]:
        """The flow itself."""
        return self

    @cached_property
    def output_type(self) -> Any:
        """The output type, or None if the function doesn't declare one."""
        kind = self._parsed_signature.hints.get("return", Any)
        return None if kind in (Any, type(None), object) else kind

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the flow file. Repeated calls return the same content.

        Raises:
            AuthoringError: If the function does something a flow can't do.
        """
        return self._built_flow.definition

    __flow__ = to_dict

    def to_yaml(self) -> str:
        """Return the flow as YAML, with a comment before each top-level step giving its line in the Python source.

        Raises:
            AuthoringError: If the function does something a flow can't do.
        """
        from .._data.yaml_format import write_yaml

        parts = []
        for key, content in self.to_dict().items():
            if key != "steps":
                parts.append(write_yaml({key: content}))
                continue
            parts.append("steps:\n")
            for index, step in enumerate(content):
                place = self.places["steps", index]
                # Leave out the folder so that the result doesn't depend on it.
                parts.append(f"# {os.path.basename(place.file)}:{place.line}\n{write_yaml([step])}")
        return "".join(parts)

    def to_json(self) -> str:
        """Return the flow as JSON.

        Raises:
            AuthoringError: If the function does something a flow can't do.
        """
        import json

        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n"

    def write(self, path: str | PathLike[str]) -> None:
        """Write the flow to a file, as JSON if the name ends with `.json` and as YAML otherwise.

        Args:
            path: Path to the file. An existing file is replaced.

        Raises:
            AuthoringError: If the function does something a flow can't do.
            FlowFileError: If the file can't be written.
            InvalidArgumentError: If the path is invalid.
        """
        from .._data.arguments import file_path
        from .._stores.atomic_file_writes import write_text

        is_json = file_path(path, "path").suffix.lower() == ".json"
        write_text(path, self.to_json() if is_json else self.to_yaml())

    @property
    def sources(self) -> dict[str, Place]:
        """Where each step is defined in Python, by step ID. If a sub-flow reuses an ID, the outer step wins."""
        positions: dict[str, Place] = {}
        for path, place in sorted(self.places.items(), key=lambda entry: len(entry[0])):
            if path and isinstance(path[-1], int):
                step: Any = self.to_dict()
                for key in path:
                    step = step[key]
                positions.setdefault(step["id"], place)
        return positions

    @property
    def places(self) -> Mapping[Path, Place]:
        """Where each part is defined in Python, by its path in `to_dict()`."""
        return self._built_flow.places

    @property
    def component_schemas(self) -> dict[str, tuple[Any, Any]]:
        """Input and output schemas of the components the flow calls, keyed by path."""
        return {path: component.schemas for path, component in self._built_flow.components.items()}

    def variables(self, *arguments: P.args, **variables: P.kwargs) -> FlowValues[P]:
        """Return values to pass as `variables=` when running the flow. Type checkers can check them.

        Example:
            ```python
            order.run(client, given, variables=order.variables(tone="formal"))
            ```

        Args:
            arguments: Not allowed. Pass variables by name.
            variables: The values.

        Raises:
            InvalidArgumentError: If the flow has no such variable.
        """
        names = self._parsed_signature.names
        for name in variables:
            if name not in names:
                hint = suggestions.suggest_or_list(name, names, "its variables are")
                raise InvalidArgumentError(f"the flow {self.name} has no variable {name!r}", hint=hint)
        return FlowValues({names[name]: value for name, value in variables.items()})

    def example(self, name: str, input: InputT, *, description: str | None = None) -> None:
        """Add an example input to the flow.

        Args:
            name: The example's name.
            input: The input.
            description: What the example shows.
        """
        self._add_example_or_case(self._examples, name, description, input, {})

    def case(
        self,
        name: str,
        input: InputT,
        *,
        output: OutputT | None = None,
        error: Mapping[str, Any] | None = None,
        description: str | None = None,
        variables: FlowValues[P] | None = None,
        mocks: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        """Add a test case to the flow. Run test cases with `stepflow test`.

        Example:
            ```python
            order.case("closed", tea, mocks={"price": Fails("TIMEOUT")}, error={"code": "TIMEOUT"}, tags=["quick"])
            ```

        Args:
            name: The test case's name.
            input: The input.
            output: The expected output. By default, any output is accepted.
            error: The expected failure, with `code` and `message`.
            description: What is being tested.
            variables: Values for the flow's variables, e.g. `order.variables(tone="formal")`. Defaults to none.
            mocks: Outcomes to use instead of executing steps, by step ID: an output, or `Fails` or `InTurn` from
                `stepflow_client.testing`. By default, all steps are executed.
            tags: Tags for selecting the test case. Defaults to none.

        Raises:
            InvalidArgumentError: If both an output and an error are expected.
        """
        if output is not None and error is not None:
            raise InvalidArgumentError("a test case expects an output or an error, not both")
        more: dict[str, Any] = {}
        if variables:
            more["variables"] = encode_data(variables, "the variables of a test case")
        if mocks:
            from .._cases.mock_outcomes import serialize_mock

            outcomes = {step: serialize_mock(mock) for step, mock in arguments.check_mapping(mocks, "mocks").items()}
            more["mocks"] = encode_data(outcomes, "the mocks of a test case")
        if tags:
            more["tags"] = arguments.check_texts(tags, "tags")
        if output is not None:
            more["output"] = {"outcome": "success", "result": encode_data(output, "the output of a test case")}
        elif error is not None:
            more["output"] = {"outcome": "failed", "error": encode_data(error, "the error of a test case")}
        self._add_example_or_case(self._cases, name, description, input, more)

    def _add_example_or_case(
        self, entries: list[dict[str, Any]], name: str, description: str | None, input: Any, more: Mapping[str, Any]
    ) -> None:
        arguments.check_text(name, "name")
        if any(entry["name"] == name for entry in entries):
            raise InvalidArgumentError(f"the flow {self.name} already has one with the name {name!r}")
        about = {} if description is None else {"description": arguments.check_text(description, "description")}
        entries.append({"name": name, **about, "input": encode_data(input, "the input"), **more})
        self.__dict__.pop("_built_flow", None)

    @cached_property
    def _parsed_signature(self) -> building.FlowSignature:
        return building.parse_signature(self.function, self._local_names)

    @cached_property
    def _built_flow(self) -> building.BuiltFlow:
        test: dict[str, Any] = {}
        config = self._options.get("test_config")
        if config is not None:
            test["configFile" if isinstance(config, str) else "config"] = config
        if self._cases:
            test["cases"] = self._cases
        options = {**self._options, "test": test, "examples": self._examples}
        return building.build_flow(self.name, self._parsed_signature, self._call_function_tracking_recursion, options)


class FlowDecorator(Protocol):
    """The decorator returned by `flow(...)`."""

    # The first overload is for functions with an input, which would also match the second.
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[Concatenate[In, P], Out], /
    ) -> Flow[In, Out, P]: ...
    @overload
    def __call__(self, function: Callable[P, Out], /) -> Flow[None, Out, P]: ...


@overload
def flow(  # pyright: ignore[reportOverlappingOverload]
    function: Callable[Concatenate[In, P], Out], /
) -> Flow[In, Out, P]: ...
@overload
def flow(function: Callable[P, Out], /) -> Flow[None, Out, P]: ...
@overload
def flow(
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    test_config: Mapping[str, Any] | str | None = None,
) -> FlowDecorator: ...
def flow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    test_config: Mapping[str, Any] | str | None = None,
) -> Any:
    """Turn a function into a flow.

    Its first argument is the flow's input, keyword-only arguments are variables, and the return value is the output.
    The flow's schemas are derived from annotations, which can be dataclasses, TypedDicts, or pydantic, attrs or msgspec
    classes.

    Example:
        ```python
        @flow(version="2")
        def order(given: Order, *, tone: str = variable(default="friendly")) -> Receipt:
            \"""Price an order.\"""
            price = shop.price(sku=given.sku, qty=given.qty)
            return Receipt(total=price.eur, text=coalesce(price.note, "no note"))
        ```

    Args:
        function: The function.
        name: The flow's name. Defaults to the function's name.
        description: The flow's description. Defaults to the function's docstring.
        version: The flow's version.
        metadata: Arbitrary metadata about the flow.
        test_config: Server configuration for test cases, or the path to its file.

    Raises:
        InvalidArgumentError: If an argument is invalid.
    """
    options: dict[str, Any] = {"name": name, "description": description, "version": version}
    for what, value in options.items():
        if value is not None:
            arguments.check_text(value, what)
    if metadata is not None:
        options["metadata"] = encode_data(arguments.check_mapping(metadata, "metadata"), "metadata")
    if test_config is not None:
        is_path = isinstance(test_config, str)
        config = test_config if is_path else arguments.check_mapping(test_config, "test_config")
        options["test_config"] = encode_data(config, "test_config")
    frame = find_calling_user_frame()
    # Annotations may refer to classes that are local to the caller.
    names = {} if frame.f_locals is frame.f_globals else dict(frame.f_locals)

    def decorate(function: Callable[..., Any]) -> Flow[Any, Any, Any]:
        check_decorated_is_function(function, "@flow")
        return Flow(function, options, names)

    return decorate if function is None else decorate(function)
