"""Sample changes of the OpenAPI description, with the differences that the comparison reports."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import yaml

from openapi.comparison import BREAKING, COMPATIBLE
from scripts.generate_api import SPEC

REMOVED = object()


@dataclass(frozen=True)
class Change:
    """A change of the description and its expected result."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    """The new values by path: keys separated by spaces."""
    differences: dict[str, list[str]] = field(default_factory=dict)
    """The expected differences by kind."""
    error: str = ""
    """The expected error if the description cannot be used."""

    @property
    def is_applied(self) -> bool:
        """Whether the bindings are replaced."""
        return not self.error and not self.differences.keys() & {*BREAKING}

    def __add__(self, other: Change) -> Change:
        """Return both changes as one."""
        kinds = dict.fromkeys([*self.differences, *other.differences])
        differences = {kind: [*self.differences.get(kind, []), *other.differences.get(kind, [])] for kind in kinds}
        return Change(self.name, self.values | other.values, differences)

    def document(self) -> dict[str, Any]:
        """Return the changed description."""
        # Through JSON, because YAML anchors share objects.
        document: dict[str, Any] = json.loads(json.dumps(yaml.load(SPEC.read_text("utf-8"), yaml.CSafeLoader)))
        for path, value in self.values.items():
            *outer, last = path.split()
            parent = document
            for key in outer:
                parent = parent[key]
            if value is REMOVED:
                del parent[last]
            else:
                parent[last] = value
        return document


RUN_ID = {"$ref": "#/components/parameters/RunId"}
RUN = "components schemas RunSummary properties"
CREATE = "components schemas CreateRunRequest"
STATUS = "components schemas RunStatus"
LIST_RUNS = "paths /runs get"
PARAMETERS = f"{LIST_RUNS} parameters"
EVENTS = "paths /runs/{pathRunId}/events get responses 200 content text/event-stream"
VARIABLES = "components schemas FlowVariablesResponse properties variables"
STRING, INTEGER = {"type": "string"}, {"type": "integer"}
OURS = Change("").document()
NAMES = OURS["components"]["schemas"]["RunStatus"]["x-enum-varnames"]
OK = {"responses": {"200": {"description": "Done."}}}


def _parameters(**changes: Any) -> list[Any]:
    """Return the parameters of list_runs with some changed; `None` removes one."""
    parameters: list[Any] = OURS["paths"]["/runs"]["get"]["parameters"]
    return [
        {**each, **changes.get(each["name"], {})} for each in parameters if changes.get(each["name"], {}) is not None
    ] + [{"name": name, "in": "query", **new} for name, new in changes.items() if new and "schema" in new]


CHANGES = (
    Change("new descriptions", {"info description": "Something else.", f"{RUN} flowName description": "Words."}),
    Change("renamed operations", {"paths /flows post operationId": "storeFlow", "paths /flows post tags": ["Flows"]}),
    Change("an operation without a name", {"paths /flows post operationId": REMOVED}),
    Change(
        "a renamed path parameter",
        {"components parameters FlowId name": "id"}
        | {f"paths /flows/{{id}}{end}": OURS["paths"][f"/flows/{{flowId}}{end}"] for end in ("", "/variables")}
        | {f"paths /flows/{{flowId}}{end}": REMOVED for end in ("", "/variables")},
    ),
    Change(
        "a removed operation",
        {"paths /runs/{runId}/cancel": REMOVED},
        {"missing": ["operation `cancel_run` (POST /runs/{runId}/cancel)"]},
    ),
    Change(
        "a new operation",
        {"paths /runs/{runId}/pause": {"post": {"operationId": "pauseRun", "parameters": [RUN_ID], **OK}}},
        {"added": ["operation `pause_run` (POST /runs/{runId}/pause)"]},
    ),
    Change(
        "a changed method",
        {"paths /flows post": REMOVED, "paths /flows put": OURS["paths"]["/flows"]["post"]},
        {"missing": ["operation `store_flow` (POST /flows)"], "added": ["operation `store_flow` (PUT /flows)"]},
    ),
    Change(
        "a renamed field of a request",
        {f"{CREATE} properties variables": REMOVED, f"{CREATE} properties vars": {"type": "object"}},
        {"missing": ["`create_run` has no `variables`"], "added": ["`create_run` has `vars`"]},
    ),
    Change(
        "a renamed field of a response",
        {f"{RUN} flowName": REMOVED, f"{RUN} name": STRING},
        {"missing": ["`RunSummary` has no `flowName`"], "added": ["`RunSummary` has `name`"]},
    ),
    Change(
        "a new required field of a request",
        {f"{CREATE} properties tenant": STRING, f"{CREATE} required": ["flowId", "input", "tenant"]},
        {"changed": ["`create_run` requires `tenant`"]},
    ),
    Change(
        "optional fields",
        {"components schemas RunSummary required": ["runId"], f"{CREATE} required": ["flowId"]},
        {
            "changed": [
                "`RunSummary` may lack `createdAt`, `createdAtSeqno`, `flowId`, `items`, `rootRunId`, `status`"
            ],
            COMPATIBLE: ["`create_run` no longer requires `input`"],
        },
    ),
    Change(
        "a new value",
        {f"{STATUS} enum": [*range(1, 8)], f"{STATUS} x-enum-varnames": [*NAMES, "LOST"]},
        {"added": ["value `7` of `RunStatus`"]},
    ),
    Change(
        "a removed and a renamed value",
        {f"{STATUS} enum": [*range(1, 6)], f"{STATUS} x-enum-varnames": ["STARTED", *NAMES[1:5]]},
        {"missing": ["value `6` of `RunStatus`"], "changed": ["name `RUNNING` of value `1` of `RunStatus`"]},
    ),
    Change(
        "a nullable response field",
        {f"{RUN} flowName type": ["string", "null"]},
        {"changed": ["`RunSummary.flowName` is string or null instead of string"]},
    ),
    Change(
        "nullable in a request and OpenAPI 3.0",
        {"openapi": "3.0.3", f"{CREATE} properties wait": {"type": "boolean", "nullable": True}},
        {
            COMPATIBLE: [
                "the description is OpenAPI 3.0.3 instead of 3.1.0",
                "`create_run.wait` is boolean or null instead of boolean",
            ]
        },
    ),
    Change(
        "oneOf in a response",
        {f"{RUN} flowName": {"oneOf": [STRING, {"type": "array", "items": STRING}]}},
        {"changed": ["`RunSummary.flowName` is array or string instead of string"]},
    ),
    Change(
        "oneOf in a request",
        {f"{CREATE} properties maxConcurrency": {"oneOf": [INTEGER, STRING]}},
        {COMPATIBLE: ["`create_run.maxConcurrency` is integer or string instead of integer"]},
    ),
    Change("a schema in oneOf", {f"{RUN} items": {"oneOf": [{"$ref": "#/components/schemas/ItemCounts"}]}}),
    Change("a schema in allOf", {f"{RUN} items": {"allOf": [{"$ref": "#/components/schemas/ItemCounts"}]}}),
    Change(
        "a changed type",
        {f"{RUN} createdAtSeqno": STRING, "components schemas ListRunsResponse properties runs items": STRING},
        {
            "changed": [
                "`ListRunsResponse.runs[]` is string instead of object",
                "`RunSummary.createdAtSeqno` is string instead of integer",
            ]
        },
    ),
    Change(
        "schemas without details",
        {
            f"{RUN} items": {"type": "object"},
            "components schemas ListRunsResponse properties runs": {"type": "array"},
            f"{VARIABLES} additionalProperties": True,
            f"{CREATE} properties variables required": ["key"],
        },
        {
            "changed": [
                "`FlowVariablesResponse.variables.*` is any JSON value instead of object",
                "`ListRunsResponse.runs[]` is any JSON value instead of object",
                "`create_run.variables` requires `key`",
                "`ItemCounts` describes no fields",
            ]
        },
    ),
    Change(
        "changed parameters",
        {
            PARAMETERS: _parameters(
                limit=None, status={"required": True}, offset={"in": "header"}, label={"schema": STRING}
            )
        },
        {
            "missing": ["`list_runs` has no `limit`, `offset`"],
            "changed": ["`list_runs` requires `status`"],
            "added": ["`list_runs` has `label`, `offset (header)`"],
        },
    ),
    Change(
        "removed bodies and responses",
        {
            "paths /blobs post requestBody content application/octet-stream": REMOVED,
            f"{LIST_RUNS} responses 400": REMOVED,
            f"{LIST_RUNS} responses 429": {"description": "Too many."},
        },
        {
            "missing": ["response 400 of `list_runs`", "content type `application/octet-stream` of `store_blob`"],
            "added": ["response 429 of `list_runs`"],
        },
    ),
    Change(
        "untyped events",
        {f"{EVENTS} x-event-schema": REMOVED},
        {"changed": ["`get_run_events response 200 event` is any JSON value instead of object"]},
    ),
    Change(
        "changed events",
        {
            "components schemas RunEventBody properties Later": {"type": "object"},
            "components schemas RunCreated properties itemCount": REMOVED,
        },
        {"missing": ["`RunCreated` has no `itemCount`"], "added": ["`RunEventBody` has `Later`"]},
    ),
    Change(
        "a dangling reference",
        {f"{RUN} items": {"$ref": "#/components/schemas/Nothing"}},
        error="refers to #/components/schemas/Nothing, which does not exist, at "
        "components.schemas.RunSummary.properties.items.",
    ),
    Change(
        "a duplicate operation name",
        {"paths /pause": {"post": {"operationId": "cancelRun", **OK}}},
        error="calls both POST /runs/{runId}/cancel and POST /pause cancel_run.",
    ),
    Change("another API", {"paths": {"/pets": {"get": OK}}}, error="describes another API: it has none of"),
)
