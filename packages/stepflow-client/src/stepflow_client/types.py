"""The types of results: small, immutable pydantic models.

Times are timezone-aware datetimes. Servers send nanoseconds; datetimes have microseconds, so the rest is cut off.

Numbers in outputs: servers from 0.12 on send every number as a float. On every release, whole floats below 2**53 are
returned as `int`. As `1 == 1.0` in Python, comparisons are not affected.
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
    """The kind of failure of an item or a step. A code unknown to this package appears as `unknown_<number>`."""

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
    """The server gave the run up before the item ended, without a reason, and nothing happened in it afterwards: it was
    restarted and could not recover the run, or its store failed. Steps had started, or may have: running the item again
    may repeat them. Only the client sets this code; no server sends it."""
    LOST_BEFORE_START = "lost_before_start"
    """As `LOST`, but the server (0.12 and newer) lists no step of the item as started. A server that is still executing
    the run, although it has given it up, may start them later."""


class DiagnosticLevel(_OpenEnum):
    """The severity of a diagnostic.

    Fatal: the flow is refused. Error: it will likely fail. Warning: it may behave unexpectedly.
    """

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
    """The reason for the failure of an item or step."""

    message: str
    """The message of the component or the server, unchanged."""
    code: _Code | None = None
    """The kind of failure, named the same for every server; None if the server reports none."""
    step_id: str | None = None
    """The id of the step that failed first; None if unknown, or if the output of the flow itself failed.

    Steps that did not run because of it are listed as failed too; `explain_run` tells them apart.
    """
    details: Any = None
    """Other data from the server, such as the raw code, or the stack of causes from servers before 0.11."""
    hint: str | None = Field(default=None, exclude=True, repr=False)
    """What to change, if that is known: which field of its input the component refuses.

    It is not included in the result of `model_dump`.
    """


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
    """The result of a run of one item, or of one item of a batch.

    `FlowResult[Output]` is a result whose output is an `Output`, as `run(..., output_type=Output)` returns it; the
    output of a plain `FlowResult` is any JSON value.
    """

    run_id: str = ""
    """The run's id, a UUID string; empty if the result is not from a server."""
    status: _Status
    if TYPE_CHECKING:
        output: OutputT = _NO_OUTPUT
    else:
        output: Any = None
    """The flow's output, any JSON value; also None if the item did not succeed.

    Servers from 0.12 on send the keys of objects in a different order each time. If the client that reads the result
    started the run, the keys are in the order of the flow's `output`; keys whose order it does not determine are
    sorted.
    """
    if TYPE_CHECKING:
        # A property cannot narrow another one: with Any beside it, `result.error.message` behind `is_failed` is right
        # for every type checker, and `result.error is None` stays a question.
        error: FlowError | Any = None
    else:
        error: FlowError | None = None
    """The reason for the failure: a `FlowError` if `is_failed` is True, else None.

    Values of the flow's secret variables are replaced by `***` in it if this client started the run.
    """
    cached_at: datetime | None = Field(default=None, exclude=True, repr=False)
    """The time when the result was cached, in UTC, if it is from a `ResultCache`; None if the flow was run for this
    call.

    It is not included in the result of `model_dump`.
    """

    @property
    def is_success(self) -> bool:
        """True if the item completed."""
        return self.status is ExecutionStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """True if the item failed, or if the server could not recover its run."""
        return self.status in _UNSUCCESSFUL

    @property
    def is_cancelled(self) -> bool:
        """True if the item was cancelled."""
        return self.status is ExecutionStatus.CANCELLED

    @property
    def is_skipped(self) -> bool:
        """Always False: no released server (0.9 to 0.13) skips a run."""
        return False

    @model_validator(mode="after")
    def _has_error(self) -> Self:
        if self.is_failed and self.error is None:
            object.__setattr__(self, "error", FlowError(message="the server does not say why"))
        return self

    def raise_for_failure(self) -> Self:
        """Return this result if it is a success.

        Raises:
            RunFailedError: If it is not; the error's `result` is this result.
        """
        if self.is_success:
            return self
        hint = None if self.error is None else self.error.hint
        raise RunFailedError(self._failure(), run_id=self.run_id, result=self, details=self.error, hint=hint)

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
            rows += [("hint", self.error.hint)] if self.error.hint else []
        else:
            rows.append(("output", self.output))
        return fields_html(rows)


class ItemCounts(Model):
    """Numbers of a run's items by state. Servers count the items of a run only when the run ends."""

    total: int = 0
    completed: int = 0
    running: int = 0
    failed: int = 0
    cancelled: int = 0


class RunDetails(Model, Shown):
    """A run and its state."""

    run_id: str
    """A UUID string."""
    flow_id: str
    flow_name: str | None = None
    status: _Status
    items: ItemCounts = ItemCounts()
    created_at: datetime | None = None
    completed_at: datetime | None = None
    root_run_id: str | None = None
    """The id of the run at the top of the tree that this run belongs to; its own id if it was not created by a step."""
    parent_run_id: str | None = None
    """The id of the run whose step created this run; None for a root run."""
    orchestrator_id: str | None = None
    """The id of the server process that executes the run, if the server reports it (0.10 and newer)."""

    @property
    def is_finished(self) -> bool:
        """True if the status is final.

        A server may mark a run as failed that it is still executing, while `items.running` is not zero; `wait_run` and
        `get_result` wait until that is settled.
        """
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
    """The arguments that a run was started with, as far as the server or the client's history has them."""

    run_id: str
    inputs: list[Any] | None = None
    """The input of each item; None if neither the server nor the history has them."""
    variables: dict[str, Any] | None = None
    """The given variables, with `***` in place of secret values; None if they are not recorded."""
    overrides: Any = None
    """The changes to steps; None if there were none, or if neither the server nor the history has them."""
    labels: dict[str, str] = Field(default_factory=dict)
    """The labels the run was recorded with, by name."""
    note: str | None = None
    """The note the run was recorded with."""
    is_recorded: bool = False
    """Whether the run is in the history."""
    rerun_of: str | None = None
    """The id of the earlier run, if the run was started by `rerun`."""
    kept: list[str] = Field(default_factory=list)
    """The ids of the steps whose outputs a rerun kept: they were not executed."""

    @property
    def hidden(self) -> list[str]:
        """Names of the parts in which the history has masked a secret: `inputs`, `variables.NAME`, `overrides`."""
        named = {f"variables.{name}": value for name, value in (self.variables or {}).items()}
        values = {"inputs": self.inputs, **named, "overrides": self.overrides}
        return [name for name, value in values.items() if is_hidden(value)]

    def _repr_html_(self) -> str:
        given = self.inputs[0] if self.inputs is not None and len(self.inputs) == 1 else self.inputs
        rows: list[tuple[str, object]] = [("run", self.run_id), ("input", given)]
        rows += [("variables", self.variables), ("overrides", self.overrides)]
        rows += [] if self.rerun_of is None else [("rerun of", self.rerun_of), ("kept", ", ".join(self.kept))]
        return fields_html([*rows, ("labels", self.labels), ("note", self.note)])


class CreateRunResponse(RunDetails):
    """A run that was just created."""


class RunItem(Model, Shown):
    """One item of a run."""

    index: int
    """The position of its input in the run's list of inputs, from 0."""
    status: _Status
    result: FlowResult | None = None
    """The result of the item; None while it is running."""
    completed_at: datetime | None = None

    def _repr_html_(self) -> str:
        error = self.result.error if self.result else None
        value = ("error", error.message) if error else ("output", self.result.output if self.result else None)
        return fields_html([("item", self.index), ("status", self.status.value), value])


_ITEM_COLUMNS = ("index", "status", "result.output", "result.error.message")


class RunItems(Sequence[RunItem], Shown):
    """The items of a run: a sequence that reads each item when it is first accessed.

    A response may contain 100,000 items, of which a caller may need only the failed ones.

    Args:
        entries: Items, or values that `read` converts to items.
        read: A function that converts an entry to an item.
    """

    def __init__(self, entries: Iterable[Any], read: Callable[[Any], RunItem] | None = None) -> None:
        """Store the entries without reading them."""
        self._entries = list(entries)
        self._read = read

    @property
    def entries(self) -> Sequence[Any]:
        """The items that have been accessed, and the unread entries of the others."""
        return self._entries

    def places(self, wanted: Callable[[ExecutionStatus], bool]) -> list[int]:
        """Return the positions of items with a wanted status, without reading the items that have not been accessed."""
        return [
            place
            for place, entry in enumerate(self._entries)
            if wanted(entry.status if isinstance(entry, RunItem) else read_status(entry["status"]))
        ]

    def replaced(self, items: Mapping[int, RunItem]) -> RunItems:
        """Return a copy with other items at some positions."""
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
        """Return the items as dicts by field name, for example for `pandas.DataFrame`."""
        return as_dicts(self)

    def to_dataframe(self) -> Any:
        """Return the items as a data frame of pandas, or of polars if pandas is not installed.

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
    """A sequence of `RunItem`; each one is read from the response when it is first accessed."""

    def _entries(self) -> Sequence[RunItem]:
        return self.items


class StepDetails(Model, Shown):
    """One step of one item and its state."""

    step_id: str
    component: str | None = None
    status: _Status
    item_index: int = 0
    step_index: int | None = None
    output: Any = None
    """The step's output, if the server returns it (0.9, and 0.12 and newer)."""
    error: FlowError | None = None
    kept: bool = False
    """Whether the run is a rerun that keeps this step: its output is that of the earlier run, and its component was not
    called."""
    updated_at: datetime | None = None
    started_at: datetime | None = None
    """When the step was first passed to its component. This field and the next three are set by
    `get_run_steps(times=True)` (0.12 and newer)."""
    completed_at: datetime | None = None
    """When the step ended; None while it is running."""
    duration: float | None = None
    """Seconds from the first start to the end, including all attempts and the waits between them."""
    attempts: int | None = None
    """Number of times the step was started."""

    def _repr_html_(self) -> str:
        value = ("error", self.error.message) if self.error else ("output", self.output)
        rows: list[tuple[str, object]] = [("step", self.step_id), ("component", self.component)]
        rows += [("item", self.item_index), ("status", "kept" if self.kept else self.status.value)]
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
    """One diagnostic of a flow, from the server or from the offline checks (`stepflow_client.flows.check`)."""

    level: _Level
    kind: str = ""
    """The name of the fault, for example `undefinedStepReference`."""
    code: int = 0
    """The number of the fault."""
    message: str = Field(validation_alias=AliasChoices("message", "formatted"))
    path: str = Field(default="$", validation_alias=AliasChoices("path", "location"))
    """The place in the flow, as a JSON path; `$` is the flow as a whole."""
    data: Any = None
    """The data that the message was made from."""
    experimental: bool = False
    """True if the server marks the check as experimental."""
    rule: str | None = None
    """The name of the rule, for offline checks."""
    file: str | None = None
    """The path of the file; None if unknown."""
    line: int | None = None
    """The line in the file, from 1."""
    column: int | None = None
    """The column in the line, from 1."""
    excerpt: str | None = None
    """The text of the line, with a mark below the place."""
    hint: str | None = None
    """How to fix the fault."""

    @property
    def location(self) -> str:
        """The same as `path`."""
        return self.path


class ValidationResult(Model, Shown):
    """The diagnostics of a flow, from the server or from the offline checks."""

    valid: bool = True
    """The same as `is_valid`; if not given, it follows from the diagnostics."""
    diagnostics: list[Diagnostic] = Field(default_factory=list)
    """All diagnostics, the most severe first."""

    @model_validator(mode="after")
    def _decide(self) -> Self:
        if "valid" not in self.model_fields_set:
            is_fatal = (each.level is DiagnosticLevel.FATAL for each in self.diagnostics)
            object.__setattr__(self, "valid", not any(is_fatal))
        return self

    @property
    def is_valid(self) -> bool:
        """True if the flow is accepted: no diagnostic is fatal."""
        return self.valid

    @property
    def errors(self) -> list[Diagnostic]:
        """The diagnostics that are fatal or errors."""
        return [d for d in self.diagnostics if d.level in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]

    @property
    def warnings(self) -> list[Diagnostic]:
        """The diagnostics that are neither fatal nor errors."""
        return [d for d in self.diagnostics if d.level not in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [("valid", "yes" if self.is_valid else "no")]
        rows += [(d.level.value, f"{d.path}: {d.message}") for d in self.diagnostics]
        return fields_html(rows)


class StoreFlowResponse(Model):
    """A stored flow."""

    flow_id: str
    """The id of the flow on every server that shares the store."""
    diagnostics: list[Diagnostic] = Field(default_factory=list)
    """Diagnostics that did not prevent the server from storing the flow."""


class FlowExample(Model):
    """An example or a test case in a flow."""

    name: str
    description: str | None = None
    input: Any = None


class StoredFlow(Model, Shown):
    """A flow as the server stores it, without keys that the server does not know."""

    flow_id: str
    flow: dict[str, Any]
    examples: list[FlowExample] = Field(default=[], validation_alias=AliasChoices("examples", "allExamples"))
    """The flow's examples and the inputs of its test cases."""

    def _repr_html_(self) -> str:
        from .drawing.notebook import flow_html

        return flow_html(self)

    def without_secrets(self) -> Self:
        """Return a copy that is safe to show: values of secret variables, such as defaults, are replaced by `***`."""
        return self.model_copy(update={"flow": hidden_flow(self.flow)})

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, self.without_secrets().flow if name == "flow" else value


class FlowVariable(Model):
    """A variable that a flow declares under `schemas.properties.variables`."""

    required: bool = False
    """True if a run requires a value: the variable is listed as required and has no default."""
    default: Any = None
    env_var: str | None = None
    """The environment variable that the flow's author names for it."""
    is_secret: bool = False
    description: str | None = None
    value_schema: dict[str, Any] = Field(default_factory=dict)
    """The variable's JSON Schema, as written in the flow."""

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
    """A plugin whose components the server could not list."""

    plugin: str
    error: str


class ComponentInfo(Model, Shown):
    """A component that flows may use."""

    name: str = ""
    """The name after the route prefix, without a leading slash. If it is not given, it is derived from `path`."""
    plugin: str | None = None
    """The plugin that provides the component, if the server reports it (0.13 and newer)."""
    path: str | None = None
    """The path that flows use, for example `/builtin/eval`. Servers do not report the route prefix: None, unless the
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
    """The components of a server: a list with the plugins that could not be listed.

    Attributes:
        failed_plugins: Plugins whose components the server could not list (reported by 0.12 and newer).
    """

    def __init__(self, components: Iterable[ComponentInfo] = (), failed_plugins: Iterable[FailedPlugin] = ()) -> None:
        """Store the components and the failed plugins."""
        super().__init__(components)
        self.failed_plugins = list(failed_plugins)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the components as dicts by field name, for example for `pandas.DataFrame`."""
        return as_dicts(self)

    def to_dataframe(self) -> Any:
        """Return the components as a data frame of pandas, or of polars if pandas is not installed.

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
    """The server's current time."""
    version: str | None = None
    """The server's release, if the server reports it (before 0.12)."""
    build: dict[str, Any] | None = None
    """Build information of the binary (0.12 and newer): `gitVersion`, `profile`, `target` and so on."""


class StoreBlobResponse(Model):
    """A stored blob."""

    blob_id: str
    """The SHA-256 digest of the content, in hexadecimal digits."""
    filename: str | None = None


class BlobContent(Model):
    """A blob and its content."""

    blob_id: str
    blob_type: str = "data"
    """The type: `data` for JSON, `flow` for a flow, `binary` for bytes."""
    filename: str | None = None
    data: Any = None
    """The JSON value, or `bytes` for a binary blob."""


class ServerInfo(Model):
    """A server's release and capabilities."""

    url: str
    dialect: str
    """The oldest release with the same protocol as this server: `0.9`, `0.10`, `0.11` or `0.12` (also used by all
    newer ones)."""
    release: str | None = None
    """The release, if the server reports it or if its commit is known."""
    commit: str | None = None
    """The commit that the server was built from (0.12 and newer)."""
    capabilities: dict[str, bool] = Field(default_factory=dict)
    """What the server can do by itself: `wait`, `events`, `blobs`, `overrides_check`, `exact_numbers` and so on."""
