"""The JSON Schema of a server's configuration, as servers from 0.9 to 0.13 read it. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["config_schema"]

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_FLAG: Schema = {"type": "boolean"}


def _whole(description: str = "", **more: Any) -> Schema:
    return {"type": "integer", "minimum": 0, **({"description": description} if description else {}), **more}


def _closed(properties: Schema, *required: str, description: str = "") -> Schema:
    return {
        **({"description": description} if description else {}),
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


def _by_type(variants: dict[str, Schema], **more: Any) -> Schema:
    """Return the schema of an object whose `type` determines its other keys."""
    rules = [
        {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": {"$ref": f"#/$defs/{held}"}}
        for name, held in ((name, each["$def"]) for name, each in variants.items())
    ]
    return {
        "type": "object",
        "properties": {"type": {"enum": list(variants)}},
        "required": ["type"],
        "allOf": rules,
        **more,
    }


def config_schema(dialect: str) -> Schema:
    """Return the schema of a configuration. Unlike servers, which ignore unknown keys, the schema rejects them."""
    plugins = {"builtin": "builtinPlugin", "mock": "mockPlugin", "mcp": "mcpPlugin", "grpc": "grpcPlugin"}
    plugins |= {"nats": "natsPlugin", "stepflow": "httpPlugin"}
    stores = {"inMemory": "inMemoryStore", "sqlite": "sqliteStore", "filesystem": "filesystemStore"}
    leases = {"noOp": "noLeases", "none": "noLeases", "etcd": "etcdLeases"}
    delays = {"constant": "constantDelay", "exponential": "exponentialDelay", "fibonacci": "fibonacciDelay"}
    defined = {
        "plugin": _by_type({name: {"$def": held} for name, held in plugins.items()}),
        "store": _by_type({name: {"$def": held} for name, held in stores.items()}),
        "leases": _by_type({name: {"$def": held} for name, held in leases.items()}),
        "delay": _by_type({name: {"$def": held} for name, held in delays.items()}),
        **_plugins(),
        **_stores(),
        **_delays(),
        "route": _route(),
    }
    return {
        "$schema": dialect,
        "title": "Stepflow server configuration",
        **_closed(
            {
                "$schema": {"type": "string", "description": "The schema of this file, for editors."},
                "plugins": {
                    "type": "object",
                    "description": "What executes components, by name.",
                    "additionalProperties": {"$ref": "#/$defs/plugin"},
                },
                "routes": {
                    "type": "object",
                    "description": "Which plugin has the components of a path. 0.13: /python, a prefix. 0.9 to 0.12: "
                    "/python/{*component}.",
                    "propertyNames": {"pattern": "^/"},
                    "additionalProperties": {"type": "array", "items": {"$ref": "#/$defs/route"}},
                },
                "workingDirectory": {
                    "type": ["string", "null"],
                    "description": "Where workers start. By default the folder of this file.",
                },
                "storageConfig": {"$ref": "#/$defs/storage", "description": "Where runs and blobs are kept (0.10+)."},
                "stateStore": {"$ref": "#/$defs/store", "description": "The store of 0.9; newer servers ignore it."},
                "leaseManager": {
                    "$ref": "#/$defs/leases",
                    "description": "Which of several servers on one store has a run (0.11+).",
                },
                "recovery": _recovery(),
                "retry": _closed(
                    {
                        "transportMaxRetries": {
                            "type": ["integer", "null"],
                            "minimum": 0,
                            "default": 3,
                            "description": "How often a component that could not be reached is tried again.",
                        },
                        "backoff": {"$ref": "#/$defs/delay"},
                    },
                    description="Retries of components that cannot be reached (0.11+).",
                ),
                "blobApi": _closed(
                    {
                        "enabled": {**_FLAG, "default": True},
                        "url": {"type": ["string", "null"], "description": "Where workers reach the blobs."},
                        "blobThreshold": {
                            "type": ["integer", "null"],
                            "minimum": 0,
                            "description": "Fields of more bytes are passed as blobs; 0 for none.",
                        },
                    }
                ),
            },
            "plugins",
            "routes",
        ),
        "$defs": {
            **defined,
            "storage": {
                "if": {"type": "object", "required": ["type"]},
                "then": {"$ref": "#/$defs/store"},
                "else": _closed(
                    {name: {"$ref": "#/$defs/store"} for name in ("metadata", "blobs", "journal")}, "metadata"
                ),
            },
        },
    }


def _plugins() -> Schema:
    type_: Schema = {"type": {}}
    env = {
        "type": "object",
        "additionalProperties": _TEXT,
        "description": "Environment variables; ${NAME:-default} is taken from the server's own.",
    }
    process = {"command": _TEXT, "args": _TEXTS, "env": env}
    queue = {
        "queueTimeoutSecs": _whole("Seconds until a worker must have taken a task.", minimum=1),
        "executionTimeoutSecs": {"type": ["integer", "null"], "minimum": 0},
    }
    result = {"outcome": {"enum": ["success", "failed"]}, "result": {}, "error": {}}
    component = _closed(
        {
            "input_schema": {"type": "object"},
            "output_schema": {"type": "object"},
            "behaviors": {
                "type": "object",
                "description": "The whole input -> what the component returns.",
                "additionalProperties": {"type": "object", "properties": result, "additionalProperties": False},
            },
        },
        "input_schema",
        "output_schema",
        "behaviors",
    )
    components = {"type": "object", "additionalProperties": component}
    return {
        "builtinPlugin": _closed(type_),
        "mockPlugin": _closed({**type_, "components": components}, "components", description="Fixed outputs."),
        "mcpPlugin": _closed({**type_, **process}, "command", "args", description="The tools of an MCP server."),
        "grpcPlugin": _closed(
            {
                **type_,
                **process,
                "queueName": {**_TEXT, "description": "The queue that its workers take tasks from."},
                **queue,
            },
            "queueName",
            description="Workers over gRPC (0.12+). Without a command they are started elsewhere.",
        ),
        "natsPlugin": _closed(
            {**type_, **process, "url": _TEXT, "stream": _TEXT, "consumer": _TEXT, **queue},
            "url",
            description="Workers over NATS (0.12+).",
        ),
        "httpPlugin": {
            **_closed(
                {**type_, **process, "url": _TEXT, "transport": _TEXT, "healthCheck": {}, "retry": {}},
                description="Workers over HTTP (0.9 to 0.11): a command, or a url.",
            ),
            "anyOf": [{"required": ["command"]}, {"required": ["url"]}],
        },
    }


def _stores() -> Schema:
    type_: Schema = {"type": {}}
    return {
        "inMemoryStore": _closed(type_, description="Nothing is left when the server ends."),
        "sqliteStore": _closed(
            {
                **type_,
                "databaseUrl": {**_TEXT, "description": "sqlite:/path/runs.db?mode=rwc"},
                "maxConnections": _whole(default=10),
                "autoMigrate": {**_FLAG, "default": True},
            },
            "databaseUrl",
        ),
        "filesystemStore": _closed(
            {**type_, "directory": {"type": ["string", "null"]}}, description="Blobs only, as files."
        ),
        "noLeases": _closed(type_, description="One server only."),
        "etcdLeases": _closed({**type_, "endpoints": {**_TEXTS, "minItems": 1}, "key_prefix": _TEXT}, "endpoints"),
    }


def _delays() -> Schema:
    type_: Schema = {"type": {}}
    grows = {"minDelayMs": _whole("Milliseconds.", default=1000), "maxDelayMs": _whole("Milliseconds.", default=10000)}
    return {
        "constantDelay": _closed({**type_, "delayMs": _whole("Milliseconds.", default=1000)}),
        "exponentialDelay": _closed({**type_, **grows, "factor": {"type": "number", "default": 2.0}}),
        "fibonacciDelay": _closed({**type_, **grows}),
    }


def _recovery() -> Schema:
    return _closed(
        {
            "enabled": {**_FLAG, "default": True},
            "checkIntervalSecs": _whole("Seconds between two looks for runs that stand still.", default=30),
            "maxStartupRecovery": _whole("Runs that are taken up again at the start.", default=100),
            "maxClaimsPerCheck": _whole(default=10),
            "leaseTtlSecs": _whole("Seconds until the runs of a dead server are free.", default=30),
            "checkpointInterval": _whole(default=1000),
        },
        description="How interrupted runs go on (0.10+).",
    )


def _route() -> Schema:
    """Return the schema of a routing rule. 0.13 passes unknown keys to the plugin."""
    names = {"type": ["array", "null"], "items": _TEXT}
    condition = _closed({"path": _TEXT, "value": {}}, "path", "value")
    return {
        "type": "object",
        "properties": {
            "plugin": {**_TEXT, "description": "The name of the plugin."},
            "component": {"description": "The component of the plugin; by default the rest of the path."},
            "componentAllow": {**names, "description": "Only these components."},
            "componentDeny": {**names, "description": "Not these components."},
            "conditions": {"type": "array", "items": condition, "description": "All must hold for the input."},
        },
        "required": ["plugin"],
    }
