"""What callers get back: small, immutable pydantic models.

Times are timezone-aware datetimes. Servers send nanoseconds, a datetime holds microseconds: the rest is cut off.

Numbers inside outputs: current servers (0.12 and newer) send every number as a float, so whole floats below 2**53
are given back as `int`, on every server alike. `1 == 1.0` in Python, so no comparison can see the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Self, TypeVar, overload

from pydantic import AliasChoices, Field, PlainSerializer, SkipValidation, model_validator

from ._codec.secrets import HIDDEN, hidden_flow, hidden_schema, is_hidden
from ._display.data_frame import data_frame
from ._models import Listing, Model, Shown, as_dicts, fields_html, from_number
from ._rules.statuses import STATUS_NUMBERS, ExecutionStatus, _OpenEnum, read_status
from .errors import RunFailedError

__all__ = [
    "BlobContent",
    "ComponentInfo",
    "ComponentList",
    "CreateRunResponse",
    "Diagnostic",
    "DiagnosticLevel",
    "ErrorCode",
    "ExecutionStatus",
    "FailedPlugin",
    "FlowError",
    "FlowExample",
    "FlowResult",
    "FlowVariable",
    "FlowVariables",
    "HealthResponse",
    "ItemCounts",
    "ListItemsResponse",
    "ListRunsResponse",
    "ListStepsResponse",
    "RunArguments",
    "RunDetails",
    "RunItem",
    "RunItems",
    "ServerInfo",
    "StepDetails",
    "StoreBlobResponse",
    "StoreFlowResponse",
    "StoredFlow",
    "ValidationResult",
]


_UNSUCCESSFUL = frozenset({ExecutionStatus.FAILED, ExecutionStatus.RECOVERY_FAILED})


class ErrorCode(_OpenEnum):
    """Why an item or a step failed. A code this package has no name for appears as `unknown_<number>`."""

    TIMEOUT = "timeout"
    INVALID_INPUT = "invalid_input"
    COMPONENT_FAILED = "component_failed"
    CANCELLED = "cancelled"
    UNREACHABLE = "unreachable"
    COMPONENT_NOT_FOUND = "component_not_found"
    RESOURCE_UNAVAILABLE = "resource_unavailable"
    EXPRESSION_FAILED = "expression_failed"
    ORCHESTRATOR = "orchestrator"
    WORKER = "worker"
    LOST = "lost"
    """The server gave up the run before the item ended, and does not say why: it was started again and could not
    recover the run, or its store failed. Steps had started, or may have: running it again may repeat them. The
    client's own code: no server sends it."""
    LOST_BEFORE_START = "lost_before_start"
    """The same, and no step of the item had started: running it again is safe (told by 0.12 and newer)."""


class DiagnosticLevel(_OpenEnum):
    """How grave a finding is. Fatal: the flow is refused. Error: it will likely fail. Warning: it may surprise."""

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"


_ERROR_NUMBERS = dict(zip(range(1, 11), ErrorCode, strict=False))
_LEVEL_NUMBERS = dict(enumerate(DiagnosticLevel, start=1))


# On the wire these are numbers; a member's place in its enumeration is its number.
_Status = Annotated[ExecutionStatus, from_number(STATUS_NUMBERS)]
_Code = Annotated[ErrorCode, from_number(_ERROR_NUMBERS)]
_Level = Annotated[DiagnosticLevel, from_number(_LEVEL_NUMBERS)]


class FlowError(Model):
    """Why an item failed."""

    message: str
    """What the component or the server said, in its own words."""
    code: _Code | None = None
    """The kind of failure, the same names on every server; None where the server gives none."""
    step_id: str | None = None
    """The step that failed, where known."""
    details: Any = None
    """What else the server said: the raw code, the stack of causes of servers before 0.11, and so on."""


if TYPE_CHECKING:
    import typing_extensions

    OutputT = typing_extensions.TypeVar("OutputT", default=Any)

    class _Typed(Generic[OutputT]):
        """What has an output of a type."""

else:
    OutputT = TypeVar("OutputT")

    class _Typed:
        def __class_getitem__(cls, output: Any) -> type:
            # The output is checked where it is read, not here.
            return cls


_NO_OUTPUT: Any = None


class FlowResult(_Typed[OutputT], Model, Shown):
    """The end of a run of one item, or of one item of a batch.

    `FlowResult[Output]` is a result whose output is an `Output`, as `run(..., output_type=Output)` returns it;
    `FlowResult` alone has any JSON value.
    """

    run_id: str = ""
    """The run, as a UUID string; empty in a result that no server gave."""
    status: _Status
    if TYPE_CHECKING:
        output: OutputT = _NO_OUTPUT
    else:
        output: Any = None
    """The flow's output, any JSON value; None too where the item did not succeed.

    Servers from 0.12 on give the keys of objects in another order each time. They come in the order of the flow's
    `output` where the client that reads the result has started the run, and sorted where that does not tell.
    """
    if TYPE_CHECKING:
        # A property cannot narrow another one: with Any beside it, `result.error.message` behind `is_failed` is right
        # for every type checker, and `result.error is None` stays a question.
        error: FlowError | Any = None
    else:
        error: FlowError | None = None
    """Why the item failed: a `FlowError` where `is_failed` is true, else None.

    Values of the flow's secret variables are replaced by `***` in it, as far as this client has started the run.
    """
    cached_at: datetime | None = Field(default=None, exclude=True, repr=False)
    """When the result was kept, in UTC, where it is from a `ResultCache`; None where the flow was run for this call.

    It is not in what `model_dump` returns.
    """

    @property
    def is_success(self) -> bool:
        """True if the item completed."""
        return self.status is ExecutionStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """True if the item failed, or the server could not recover its run."""
        return self.status in _UNSUCCESSFUL

    @property
    def is_cancelled(self) -> bool:
        """True if the item was cancelled."""
        return self.status is ExecutionStatus.CANCELLED

    @property
    def is_skipped(self) -> bool:
        """False: no released server (0.9 to 0.13) skips a run."""
        return False

    @model_validator(mode="after")
    def _has_error(self) -> Self:
        if self.is_failed and self.error is None:
            object.__setattr__(self, "error", FlowError(message="the server does not say why"))
        return self

    def raise_for_failure(self) -> Self:
        """Return the result itself if it is a success.

        Raises:
            RunFailedError: If it is not; `result` is this result.
        """
        if self.is_success:
            return self
        raise RunFailedError(self._failure(), run_id=self.run_id, result=self, details=self.error)

    def _failure(self) -> str:
        run = f"run {self.run_id}" if self.run_id else "the run"
        if self.error is None:
            return f"{run} is {self.status.value}"
        where = f" at step {self.error.step_id!r}" if self.error.step_id else ""
        return f"{run} failed{where}: {self.error.message}"

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [("run", self.run_id), ("status", self.status.value)]
        if self.error is not None:
            rows += [("step", self.error.step_id or ""), ("error", self.error.message)]
        else:
            rows.append(("output", self.output))
        return fields_html(rows)


class ItemCounts(Model):
    """How many items of a run are where. Servers count a run's items only when the run ends."""

    total: int = 0
    completed: int = 0
    running: int = 0
    failed: int = 0
    cancelled: int = 0


class RunDetails(Model, Shown):
    """A run as a whole."""

    run_id: str
    """A UUID string."""
    flow_id: str
    flow_name: str | None = None
    status: _Status
    items: ItemCounts = ItemCounts()
    created_at: datetime | None = None
    completed_at: datetime | None = None
    root_run_id: str | None = None
    """The run at the top of the tree this run belongs to; its own id for a run that somebody created."""
    parent_run_id: str | None = None
    """The run whose step created this one; None for a root run."""
    orchestrator_id: str | None = None
    """The server process that does the work, where the server tells (0.10 and newer)."""

    @property
    def is_finished(self) -> bool:
        """True where the status is final."""
        return self.status.is_final

    def _repr_html_(self) -> str:
        items = self.items
        counts = f"{items.completed} completed, {items.failed} failed, {items.running} running of {items.total}"
        return fields_html(
            [
                ("run", self.run_id),
                ("flow", self.flow_name or self.flow_id),
                ("status", self.status.value),
                ("items", counts),
                ("created", self.created_at or ""),
                ("completed", self.completed_at or ""),
            ]
        )


class RunArguments(Model, Shown):
    """What a run was started with, as far as the server or the client's history tells."""

    run_id: str
    inputs: list[Any] | None = None
    """The input of each item; None where nobody tells them."""
    variables: dict[str, Any] | None = None
    """The variables that were given; `***` in the place of secret ones. None where they are not recorded."""
    overrides: Any = None
    """The changes to steps; None where there were none, or nobody tells them."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Names and values that the run was recorded with."""
    note: str | None = None
    """The text that the run was recorded with."""
    is_recorded: bool = False
    """Whether the history has the run."""

    @property
    def hidden(self) -> list[str]:
        """What lacks a secret, which the history does not keep: `inputs`, `variables.NAME`, `overrides`."""
        named = {f"variables.{name}": value for name, value in (self.variables or {}).items()}
        values = {"inputs": self.inputs, **named, "overrides": self.overrides}
        return [name for name, value in values.items() if is_hidden(value)]

    def _repr_html_(self) -> str:
        given = self.inputs[0] if self.inputs is not None and len(self.inputs) == 1 else self.inputs
        rows: list[tuple[str, object]] = [("run", self.run_id), ("input", given)]
        rows += [("variables", self.variables), ("overrides", self.overrides)]
        return fields_html([*rows, ("labels", self.labels), ("note", self.note)])


class CreateRunResponse(RunDetails):
    """A run just created."""


class RunItem(Model, Shown):
    """One item of a run."""

    index: int
    """The place of its input in the run's list of inputs, from 0."""
    status: _Status
    result: FlowResult | None = None
    """The item's end; None while it runs."""
    completed_at: datetime | None = None

    def _repr_html_(self) -> str:
        error = self.result.error if self.result else None
        value = ("error", error.message) if error else ("output", self.result.output if self.result else None)
        return fields_html([("item", self.index), ("status", self.status.value), value])


_ITEM_COLUMNS = ("index", "status", "result.output", "result.error.message")


class RunItems(Sequence[RunItem], Shown):
    """The items of a run: a sequence that reads each item when it is first looked at.

    A response may hold 100,000 items, of which a caller may want the failed ones.

    Args:
        entries: Items, or what `read` makes an item of.
        read: Makes an item.
    """

    def __init__(self, entries: Iterable[Any], read: Callable[[Any], RunItem] | None = None) -> None:
        """Keep the entries; nothing is read yet."""
        self._entries = list(entries)
        self._read = read

    @property
    def entries(self) -> Sequence[Any]:
        """The items that have been looked at, and what the others are made of."""
        return self._entries

    def places(self, wanted: Callable[[ExecutionStatus], bool]) -> list[int]:
        """Return where items of some status are, without reading those that have not been looked at."""
        return [
            place
            for place, entry in enumerate(self._entries)
            if wanted(entry.status if isinstance(entry, RunItem) else read_status(entry["status"]))
        ]

    def replaced(self, items: Mapping[int, RunItem]) -> RunItems:
        """Return the same with other items in some places."""
        changed = RunItems(self._entries, self._read)
        for place, item in items.items():
            changed._entries[place] = item
        return changed

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> RunItem: ...
    @overload
    def __getitem__(self, index: slice) -> list[RunItem]: ...
    def __getitem__(self, index: int | slice) -> RunItem | list[RunItem]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self._entries)))]
        entry = self._entries[index]
        if isinstance(entry, RunItem) or self._read is None:
            return entry  # type: ignore[no-any-return]
        item = self._entries[index] = self._read(entry)
        return item

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the items as dicts by field name, for `pandas.DataFrame` and the like."""
        return as_dicts(self)

    def to_dataframe(self) -> Any:
        """Return the items as a data frame of pandas, or of polars where pandas is not installed.

        Raises:
            StepflowClientError: If neither is installed.
        """
        return data_frame(self.to_dicts())

    def _repr_html_(self) -> str:
        from .drawing.notebook import records_html

        return records_html(self, _ITEM_COLUMNS, "items")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Some print what they are given without being asked to; 100,000 items would take seconds.
        return f"<RunItems: {len(self)}>" if len(self) > 20 else repr(list(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (RunItems, (list(self),))


class ListItemsResponse(Listing[RunItem]):
    """The items of a run, in the order of their inputs: iterate over it, index it, or use `items`."""

    run_id: str
    _shown: ClassVar = (*_ITEM_COLUMNS, "items")
    items: Annotated[SkipValidation[Sequence[RunItem]], PlainSerializer(list)]
    """A sequence of `RunItem`; each is read from the response when it is first looked at."""

    def _entries(self) -> Sequence[RunItem]:
        return self.items


class StepDetails(Model, Shown):
    """One step of one item, as far as it came."""

    step_id: str
    component: str | None = None
    status: _Status
    item_index: int = 0
    step_index: int | None = None
    output: Any = None
    """The step's output where the server tells it (0.9, and 0.12 and newer)."""
    error: FlowError | None = None
    updated_at: datetime | None = None
    started_at: datetime | None = None
    """When it was first given to its component, with `get_run_steps(times=True)` (0.12 and newer), like the next."""
    completed_at: datetime | None = None
    """When it ended; None while it runs."""
    duration: float | None = None
    """Seconds from the first start to the end, with all attempts and the waits between them."""
    attempts: int | None = None
    """How many times it was started."""

    def _repr_html_(self) -> str:
        value = ("error", self.error.message) if self.error else ("output", self.output)
        rows: list[tuple[str, object]] = [("step", self.step_id), ("component", self.component)]
        rows += [("item", self.item_index), ("status", self.status.value)]
        if self.started_at is not None:
            rows += [("started", self.started_at), ("seconds", self.duration), ("attempts", self.attempts)]
        return fields_html([*rows, value])


class ListStepsResponse(Listing[StepDetails]):
    """The steps of a run, by item, then in the order of the flow: iterate over it, index it, or use `steps`."""

    _shown: ClassVar = ("item_index", "step_id", "component", "status", "output", "error.message", "steps")
    _timed: ClassVar = (*_shown[:4], "started_at", "duration", "attempts", *_shown[4:])
    run_id: str
    steps: list[StepDetails]

    def _entries(self) -> Sequence[StepDetails]:
        return self.steps

    def _columns(self) -> Sequence[str]:
        return self._timed if any(step.started_at is not None for step in self.steps) else self._shown


class ListRunsResponse(Listing[RunDetails]):
    """Runs, newest first: iterate over it, index it, or use `runs`."""

    _shown: ClassVar = ("run_id", "flow_name", "status", "items.total", "created_at", "runs")
    runs: list[RunDetails]

    def _entries(self) -> Sequence[RunDetails]:
        return self.runs


class Diagnostic(Model):
    """One finding about a flow, of the server or of the offline checks (`stepflow_client.flows.check`)."""

    level: _Level
    kind: str = ""
    """The finding's name, for example `undefinedStepReference`."""
    code: int = 0
    """The finding's number."""
    message: str = Field(validation_alias=AliasChoices("message", "formatted"))
    path: str = Field(default="$", validation_alias=AliasChoices("path", "location"))
    """Where in the flow, as a JSON path; `$` is the flow as a whole."""
    data: Any = None
    """What the message was made from."""
    experimental: bool = False
    """True for a check that the server itself calls experimental."""
    rule: str | None = None
    """The rule's name, of a finding of the offline checks."""
    file: str | None = None
    """The file, where it is known."""
    line: int | None = None
    """The line in the file, from 1 on."""
    column: int | None = None
    """The column in the line, from 1 on."""
    excerpt: str | None = None
    """The line, with a mark below the place."""
    hint: str | None = None
    """How to fix it."""

    @property
    def location(self) -> str:
        """The same as `path`."""
        return self.path


class ValidationResult(Model, Shown):
    """What the server thinks of a flow."""

    valid: bool = True
    """The same as `is_valid`; where it is not given, the diagnostics decide."""
    diagnostics: list[Diagnostic] = Field(default_factory=list)
    """All findings, the gravest first."""

    @model_validator(mode="after")
    def _decide(self) -> Self:
        if "valid" not in self.model_fields_set:
            is_fatal = (each.level is DiagnosticLevel.FATAL for each in self.diagnostics)
            object.__setattr__(self, "valid", not any(is_fatal))
        return self

    @property
    def is_valid(self) -> bool:
        """True if the server accepts the flow: nothing fatal was found."""
        return self.valid

    @property
    def errors(self) -> list[Diagnostic]:
        """The fatal findings and the errors."""
        return [d for d in self.diagnostics if d.level in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]

    @property
    def warnings(self) -> list[Diagnostic]:
        """The findings that are neither fatal nor errors."""
        return [d for d in self.diagnostics if d.level not in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [("valid", "yes" if self.is_valid else "no")]
        rows += [(d.level.value, f"{d.path}: {d.message}") for d in self.diagnostics]
        return fields_html(rows)


class StoreFlowResponse(Model):
    """A stored flow."""

    flow_id: str
    """Names the flow on every server that shares the store."""
    diagnostics: list[Diagnostic] = Field(default_factory=list)
    """What the server found that did not stop it from storing the flow."""


class FlowExample(Model):
    """An example or a test case that a flow brings with it."""

    name: str
    description: str | None = None
    input: Any = None


class StoredFlow(Model, Shown):
    """A flow as the server keeps it. Keys that the server does not know are gone."""

    flow_id: str
    flow: dict[str, Any]
    examples: list[FlowExample] = Field(default=[], validation_alias=AliasChoices("examples", "allExamples"))
    """The flow's examples and the inputs of its test cases."""

    def _repr_html_(self) -> str:
        from .drawing.notebook import flow_html

        return flow_html(self)

    def without_secrets(self) -> Self:
        """Return the flow as it may be shown: what it holds of secret variables, such as defaults, is `***`."""
        return self.model_copy(update={"flow": hidden_flow(self.flow)})

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, self.without_secrets().flow if name == "flow" else value


class FlowVariable(Model):
    """A variable that a flow declares under `schemas.properties.variables`."""

    required: bool = False
    """True if a run cannot do without a value: it has no default and is listed as required."""
    default: Any = None
    env_var: str | None = None
    """The environment variable its author names for it."""
    is_secret: bool = False
    description: str | None = None
    value_schema: dict[str, Any] = Field(default_factory=dict)
    """Its JSON schema, as written in the flow."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if name == "default" and self.is_secret and value is not None:
                value = HIDDEN
            elif name == "value_schema":
                value = hidden_schema(self.value_schema)
            yield name, value


class FlowVariables(Model):
    """The variables of a flow, by name."""

    flow_id: str
    variables: dict[str, FlowVariable]


class FailedPlugin(Model):
    """A plugin the server could not ask for its components."""

    plugin: str
    error: str


class ComponentInfo(Model, Shown):
    """A component that flows may use."""

    name: str = ""
    """The name behind the route prefix, without a leading slash; that of `path` in one that no server gave."""
    plugin: str | None = None
    """The plugin that has it, where the server tells (0.13 and newer)."""
    path: str | None = None
    """What a flow writes, for example `/builtin/eval`. Servers do not tell the route prefix: None, unless the
    configuration is known, as with an embedded server."""
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.name and self.path:
            object.__setattr__(self, "name", self.path.strip("/"))
        return self

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [("component", self.path or self.name), ("plugin", self.plugin)]
        rows += [("description", self.description), ("input", self.input_schema), ("output", self.output_schema)]
        return fields_html([row for row in rows if row[1] is not None])


class ComponentList(list[ComponentInfo], Shown):
    """The components of a server: a list that also says what could not be listed.

    Attributes:
        failed_plugins: Plugins the server could not ask (0.12 and newer; before that the server does not tell).
    """

    def __init__(self, components: Iterable[ComponentInfo] = (), failed_plugins: Iterable[FailedPlugin] = ()) -> None:
        """Keep both."""
        super().__init__(components)
        self.failed_plugins = list(failed_plugins)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the components as dicts by field name, for `pandas.DataFrame` and the like."""
        return as_dicts(self)

    def to_dataframe(self) -> Any:
        """Return the components as a data frame of pandas, or of polars where pandas is not installed.

        Raises:
            StepflowClientError: If neither is installed.
        """
        return data_frame(self.to_dicts())

    def _repr_html_(self) -> str:
        from .drawing.notebook import records_html

        return records_html(self, ("name", "plugin", "description"), "components")


class HealthResponse(Model):
    """A server's response to a health check."""

    status: str
    """`healthy`."""
    timestamp: datetime | None = None
    """The server's clock."""
    version: str | None = None
    """The release, where the server tells it (before 0.12)."""
    build: dict[str, Any] | None = None
    """How the binary was built (0.12 and newer): `gitVersion`, `profile`, `target` and so on."""


class StoreBlobResponse(Model):
    """A stored blob."""

    blob_id: str
    """The SHA-256 of its content, in hexadecimal digits."""
    filename: str | None = None


class BlobContent(Model):
    """A blob."""

    blob_id: str
    blob_type: str = "data"
    """`data` for JSON, `flow` for a flow, `binary` for bytes."""
    filename: str | None = None
    data: Any = None
    """The JSON value, or `bytes` for a binary blob."""


class ServerInfo(Model):
    """What a server is and what it can do."""

    url: str
    dialect: str
    """The oldest release that speaks as this server does: `0.9`, `0.10`, `0.11` or `0.12` (which all newer ones do)."""
    release: str | None = None
    """The release, where the server tells it or its commit is known."""
    commit: str | None = None
    """The commit it was built from (0.12 and newer)."""
    capabilities: dict[str, bool] = Field(default_factory=dict)
    """What it can do by itself: `wait`, `events`, `blobs`, `overrides_check`, `exact_numbers` and so on."""
