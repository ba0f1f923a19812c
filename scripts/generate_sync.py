"""Generate the sync client from the async one.

    python scripts/generate_sync.py [FOLDER [--output DIR]]

unasync rewrites the code token by token, the pairs below rewrite docstrings, and ruff sorts imports and formats the
result. It depends only on the source, so it can be compared byte for byte.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "packages/stepflow-client/src/stepflow_client"
FOLDERS = (CLIENT, CLIENT / "evaluation")
"""Folders with an `_async` package. Its `_sync` twin is written next to it."""
BANNER = "# Written from _async/{name} by `make generate`. Change that file instead.\n\n"

TOKENS = {
    "__anext__": "__next__",
    "_async": "_sync",
    "async_socket": "sync_socket",
    "AbstractAsyncContextManager": "AbstractContextManager",
    "AsyncCancelled": "SyncCancelled",
    "AsyncByteStream": "SyncByteStream",
    "AsyncBaseTransport": "BaseTransport",
    "AsyncClient": "Client",
    "AsyncHTTPTransport": "HTTPTransport",
    "AsyncRequestSlots": "SyncRequestSlots",
    "AsyncSocket": "SyncSocket",
    "AsyncInputReader": "SyncInputReader",
    "AsyncTaskSet": "SyncTaskSet",
    "StopAsyncIteration": "StopIteration",
    "StepflowClient": "SyncStepflowClient",
    "RunHandle": "SyncRunHandle",
    "EventResponse": "SyncEventResponse",
    "EventStream": "SyncEventStream",
    "OutcomeStream": "SyncOutcomeStream",
    "RunPager": "SyncRunPager",
    "FlowTool": "SyncFlowTool",
    "FlowTools": "SyncFlowTools",
    "AsyncGenerator": "Generator",
    "aclose": "close",
    "anext": "next",
    "aclosing": "closing",
    "aread": "read",
    "asend": "send",
    "async_auth_flow": "sync_auth_flow",
    "async_get_token": "sync_get_token",
    "async_compute": "sync_compute",
    "async_run_score_call": "sync_run_score_call",
    "async_gather": "sync_gather",
    "async_shield": "sync_shield",
    "async_call_with_timeout": "sync_call_with_timeout",
    "async_call_hooks": "sync_call_hooks",
    "async_wait_until_future_done": "sync_wait_until_future_done",
    "identify_process_and_loop": "identify_process",
    "asynccontextmanager": "contextmanager",
    "asyncio": "time",
    "handle_async_request": "handle_request",
    "set_async_httpx_client": "set_httpx_client",
}
TEXTS = {
    r"Iterable\[Any\] \| Iterable\[Any\]": "Iterable[Any]",
    r"Callable\[(\[[\w., ]*\]|\.\.\.), Awaitable\[([\w.]+|\w+\[\w+\])\]\]": r"Callable[\1, \2]",
    r"-> Awaitable\[(.+)\]:": r"-> \1:",
    r'"stepflow_client\._async\.': '"stepflow_client._sync.',
    r"if\s+the\s+task\s+is\s+cancelled\s+\(in\s+the\s+sync\s+client:\s+on\s+a\s+KeyboardInterrupt\)": (
        "on a KeyboardInterrupt"
    ),
    r"(?<=frames: )Generator\[bytes, None\]": "Generator[bytes, None, None]",
    r"\bGenerator\[(.*), None\]:": r"Generator[\1, None, None]:",
    r"\bawait (?=client\.|get_run\.|handle\.|patient\.)": "",
    r"\basync with\b": "with",
    r"\basync for\b": "for",
    r"(?<!Sync)\bStepflowClient\b": "SyncStepflowClient",
    r"(?<!Sync)\bRunHandle\b": "SyncRunHandle",
    r"(?<!Sync)\bFlowTool(s?)\b": r"SyncFlowTool\1",
    r", or a `StepflowRuntime`\.": ".",
    r"\bawait tools\.": "tools.",
    r"\bawait evaluate\(": "sync_evaluate(",
    r"The asynchronous `evaluate`\. `make generate` generates the synchronous version from this package\.": (
        "The synchronous `evaluate`, generated from the asynchronous one."
    ),
    r"\bis_async=True\b": "is_async=False",
    r"\basyncio_detailed\b": "sync_detailed",
    r"\bThe asynchronous client\. `make generate` generates the synchronous one from this package\.": (
        "The synchronous client, generated from the asynchronous one."
    ),
    r"\bThe asynchronous client\b": "The synchronous client",
    r"\s+\(it\s+may\s+be\s+a\s+coroutine\s+function\)": "",
    r"An\s+iterable\s+or\s+async\s+iterable\s+of\s+inputs": "An iterable of inputs",
    r"If it hangs,\s+the request ends at the timeout\.": (
        "It must respect httpx's `timeout` extension, which holds the time left, as an `httpx.HTTPTransport` does."
    ),
    r"Tasks in the same event loop can share a client\.": (
        "Threads can share a client, even inside a running event loop."
    ),
}


def write(folder: Path, output: Path) -> None:
    """Write the sync twin of each module in a folder to `output`, replacing it."""
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        # unasync determines its target by replacing the folder's name in the path.
        source = Path(temporary, "_async")
        target = Path(temporary, "_sync")
        shutil.copytree(folder / "_async", source, ignore=shutil.ignore_patterns("__pycache__"))
        rule = unasync.Rule(f"{source}/", f"{target}/", additional_replacements=TOKENS)
        unasync.unasync_files([str(path) for path in sorted(source.rglob("*.py"))], [rule])
        for path in sorted(target.rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            for pattern, replacement in TEXTS.items():
                text = re.sub(pattern, replacement, text)
            path.write_text(BANNER.format(name=path.relative_to(target)) + text, encoding="utf-8")
        for step in (["check", "--fix", "--quiet", "--select", "I,F811"], ["format", "--quiet"]):
            ruff = [sys.executable, "-m", "ruff", *step, "--isolated", "--line-length", "120", str(target)]
            subprocess.run(ruff, check=True)
        shutil.copytree(target, output, ignore=shutil.ignore_patterns(".ruff_cache"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="the folder of `_async` (default: all)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write (default: `_sync` in FOLDER)")
    given = parser.parse_args()
    for folder in FOLDERS if given.folder is None else (given.folder,):
        write(folder, given.output or folder / "_sync")


if __name__ == "__main__":
    main()
