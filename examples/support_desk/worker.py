"""The support desk's worker, whose component drafts a reply. A real one would call a model."""

import asyncio
import os
import sys
from typing import TypedDict

from stepflow_py.worker import StepflowServer, main

server = StepflowServer(include_builtins=False)


class DraftInput(TypedDict):
    text: str
    tone: str


class Draft(TypedDict):
    reply: str


def count(text: str) -> None:
    """Append text to the file that a test uses to count drafts, if it is set."""
    if "SUPPORT_DRAFTS" in os.environ:
        with open(os.environ["SUPPORT_DRAFTS"], "a", encoding="utf-8") as file:
            file.write(f"{text}\n")


@server.component
async def draft(input: DraftInput) -> Draft:
    """Draft a reply to a text."""
    if "refuse" in input["text"]:
        raise ValueError("the model refuses to answer")
    await asyncio.sleep(float(input["text"].count("slow")))
    count(input["text"])
    greeting = "Hello!" if input["tone"] == "friendly" else "Dear customer,"
    return {"reply": f"{greeting} You wrote: {input['text']}"}


if __name__ == "__main__":
    main.server = server
    sys.argv = [sys.argv[0], "--max-concurrent", "16"]
    main.main()
