"""Components as functions, for flows in Python.

Written by `stepflow components stubs`; write it again if the components change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stepflow_client.authoring import OnError, component


@dataclass(kw_only=True)
class CreateMessagesOutput:
    messages: list[CreateMessagesOutputMessagesItem]


@dataclass(kw_only=True)
class CreateMessagesOutputMessagesItem:
    role: str
    content: str


@component("/builtin/create_messages")
def create_messages(
    *,
    user_prompt: str,
    system_instructions: str | None = None,
    step: str | None = None,
    on_error: OnError[CreateMessagesOutput] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> CreateMessagesOutput:
    """Create a chat message list from system instructions and user prompt

    Args:
        user_prompt: The user prompt to include in the message list.
        system_instructions: The system instructions to include in the message list.
    """
    raise NotImplementedError


@dataclass(kw_only=True)
class EvalOutput:
    result: Any
    """The result from executing the nested workflow"""
    run_id: str
    """The run ID of the nested workflow"""


@component("/builtin/eval")
def eval_(
    *,
    flow_id: str,
    input: Any,
    step: str | None = None,
    on_error: OnError[EvalOutput] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> EvalOutput:
    """Execute a nested workflow with given input and return the result

    Args:
        flow_id: The ID of the workflow to execute (blob ID)
        input: The input to pass to the workflow
    """
    raise NotImplementedError


@dataclass(kw_only=True)
class GetBlobOutput:
    data: Any
    """The JSON data stored in the blob"""


@component("/builtin/get_blob")
def get_blob(
    *,
    blob_id: str,
    step: str | None = None,
    on_error: OnError[GetBlobOutput] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> GetBlobOutput:
    """Retrieve JSON data from a blob using its ID

    Args:
        blob_id: The blob ID to retrieve
    """
    raise NotImplementedError


@dataclass(kw_only=True)
class LoadFileOutput:
    data: Any
    """The loaded data (parsed JSON/YAML or raw text)"""
    metadata: LoadFileOutputMetadata


@dataclass(kw_only=True)
class LoadFileOutputMetadata:
    """Metadata about the loaded file"""

    resolved_path: str
    size_bytes: int
    format: str


@component("/builtin/load_file")
def load_file(
    *,
    path: str,
    format: Literal["json", "yaml", "text"] | None = None,
    step: str | None = None,
    on_error: OnError[LoadFileOutput] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> LoadFileOutput:
    """Load and parse a file (JSON, YAML, or text) from the filesystem

    Args:
        path: Path to the file to load
        format: Format of the file (json, yaml, text). If not specified, inferred from extension
    """
    raise NotImplementedError


@component("/builtin/noop")
def noop(
    *,
    step: str | None = None,
    on_error: OnError[Any] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
    **input: Any,
) -> Any:
    """No-op component that returns its input unchanged. Used for benchmarking."""
    raise NotImplementedError


@dataclass(kw_only=True)
class OpenaiOutput:
    response: Any
    """The generated response text"""


@component("/builtin/openai")
def openai(
    *,
    messages: Sequence[Any],
    api_key: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    step: str | None = None,
    on_error: OnError[OpenaiOutput] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> OpenaiOutput:
    """Send messages to OpenAI's chat completion API and get a response

    Args:
        messages: The messages to send to the API
        api_key: API key override (optional - uses environment variable if not provided)
        max_tokens: Max tokens to generate (optional)
        temperature: Temperature setting (optional)
    """
    raise NotImplementedError


@dataclass(kw_only=True)
class PutBlobOutput:
    blob_id: str
    """The blob ID for the stored data"""


@component("/builtin/put_blob")
def put_blob(
    *,
    data: Any,
    blob_type: Literal["data", "flow", "binary"],
    step: str | None = None,
    on_error: OnError[PutBlobOutput] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> PutBlobOutput:
    """Store JSON data as a blob and return its content-addressable ID

    Args:
        data: The JSON data to store as a blob
        blob_type: The type of blob to store
    """
    raise NotImplementedError


@dataclass(kw_only=True)
class SleepOutput:
    duration_ms: int
    """The duration that was slept, in milliseconds."""
    passthrough: Any = None
    """The passthrough data, if any was provided."""


@component("/builtin/sleep")
def sleep(
    *,
    duration_ms: int,
    passthrough: Any = None,
    step: str | None = None,
    on_error: OnError[SleepOutput] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> SleepOutput:
    """Sleeps for a specified duration then returns. Used for benchmarking concurrent flow capacity.

    Args:
        duration_ms: Duration to sleep in milliseconds.
        passthrough: Optional data to pass through unchanged.
    """
    raise NotImplementedError
