"""Agents without a network: the OpenAI and Anthropic packages with scripted models, and fastmcp's client."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import anthropic
import fastmcp
import httpx2
import openai
from fastmcp.client.transports import StdioTransport
from stepflow_client import SyncStepflowClient
from stepflow_client.tools import SyncFlowTools

ARGUMENTS = iter([{"wo": "Ada"}, {"who": "Ada"}])


def chat(request: httpx2.Request) -> httpx2.Response:
    """Respond like the Chat Completions API: first with tool calls, finally with the tool's result."""
    body = json.loads(request.content)
    assert body["tools"][0]["function"]["name"] == "greet"
    last = body["messages"][-1]
    message: dict[str, Any] = {"role": "assistant", "content": last["content"]}
    if last["role"] == "user" or "unknown field" in last["content"]:
        function = {"name": "greet", "arguments": json.dumps(next(ARGUMENTS))}
        message = {"role": "assistant", "content": None, "tool_calls": [call("function", function)]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return httpx2.Response(
        200, json={"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


def call(kind: str, function: dict[str, Any]) -> dict[str, Any]:
    return {"id": "call-1", "type": kind, kind: function}


def messages(request: httpx2.Request) -> httpx2.Response:
    """Respond like the Messages API."""
    body = json.loads(request.content)
    assert body["tools"][0]["input_schema"]["required"] == ["who"]
    last = body["messages"][-1]
    content: list[dict[str, Any]] = [{"type": "tool_use", "id": "1", "name": "greet", "input": {"who": "Bob"}}]
    if isinstance(last["content"], list):
        content = [{"type": "text", "text": last["content"][0]["content"]}]
    usage = {"input_tokens": 1, "output_tokens": 1}
    whole = {"id": "1", "type": "message", "role": "assistant", "model": "m", "content": content, "usage": usage}
    return httpx2.Response(200, json={**whole, "stop_reason": "end_turn", "stop_sequence": None})


def with_openai(tools: SyncFlowTools) -> None:
    http = httpx2.Client(transport=httpx2.MockTransport(chat))
    client = openai.OpenAI(api_key="none", base_url="http://model", http_client=http)
    conversation: list[Any] = [{"role": "user", "content": "Greet Ada."}]
    while True:
        answer = (
            client.chat.completions.create(model="m", messages=conversation, tools=tools.to_openai()).choices[0].message
        )
        if not answer.tool_calls:
            print("openai:", str(answer.content).split("\n")[1])
            return
        conversation.append(answer.model_dump(exclude_none=True))
        for each in answer.tool_calls:
            result = tools.call(each.function.name, each.function.arguments)
            conversation.append({"role": "tool", "tool_call_id": each.id, "content": result.text})


def with_anthropic(tools: SyncFlowTools) -> None:
    http = httpx2.Client(transport=httpx2.MockTransport(messages))
    client = anthropic.Anthropic(api_key="none", base_url="http://model", http_client=http)
    conversation: list[Any] = [{"role": "user", "content": "Greet Bob."}]
    first = client.messages.create(model="m", max_tokens=9, messages=conversation, tools=tools.to_anthropic())
    used = first.content[0]
    result = tools.call(used.name, used.input)
    block = {"type": "tool_result", "tool_use_id": used.id, "content": result.text, "is_error": result.is_error}
    conversation += [{"role": "assistant", "content": [used.model_dump()]}, {"role": "user", "content": [block]}]
    last = client.messages.create(model="m", max_tokens=9, messages=conversation, tools=tools.to_anthropic())
    print("anthropic:", last.content[0].text.split("\n")[1])


async def with_fastmcp() -> None:
    command, *arguments = json.loads(os.environ["AGENT_COMMAND"])
    async with fastmcp.Client(StdioTransport(command, arguments, env=dict(os.environ))) as client:
        print("fastmcp:", next(tool.name for tool in await client.list_tools()))
        result = await client.call_tool("greet", {"who": "Eve"})
        print("fastmcp:", result.structured_content["output"])
        refused = await client.call_tool("greet", {"wo": "Eve"}, raise_on_error=False)
        print("fastmcp:", refused.is_error, refused.content[0].text.split("\n")[1])


def main() -> None:
    with SyncStepflowClient(os.environ["AGENT_SERVER"]) as client:
        tools = SyncFlowTools(client, ["greet.json"])
        with_openai(tools)
        with_anthropic(tools)
    asyncio.run(with_fastmcp())


if __name__ == "__main__":
    main()
