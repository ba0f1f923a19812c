"""Runs the command in forks of a process that has already imported it.

Imports take most of a command's time, and the tests run thousands of commands. A fork has its own arguments,
environment, working folder and streams, and exits like an interpreter. It differs from a new process only in what
happens during imports; tests of that start a new process. All test processes of a session share one forking process:
the first one that needs it starts it, and it exits when the last one has disconnected.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import fcntl
import http.server
import importlib
import marshal
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path

import httpx

__all__ = ["SITE", "Forks"]

SITE = "TESTS_SITE"
"""An environment variable with the path of a Python file that commands run at startup, like `sitecustomize`."""

_MAX_BYTES = 100_000
"""Maximum size of a call, because it is sent as one message."""
_AT_START = ("PYTHON", "LC_", "LANG", "COV", "STEPFLOW_LOG")
"""Prefixes of variables that the interpreter or a module reads only once, at startup."""
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_DRAWING = {"visualize", "report", "ui", "--ui"}
"""Arguments of commands that draw graphs."""


class Forks:
    """A client of the process that has imported the command and forks for each call.

    Args:
        program: The value of `sys.argv[0]` in the command.
        environment: The environment of the process.
        name: The name under which test processes connect to it.
    """

    def __init__(self, program: Path, environment: Mapping[str, str], name: str) -> None:
        self._fixed = _read_at_start(environment)
        # Linux's abstract socket addresses need no file and are released when the process exits.
        address = f"\0{name}"
        self._process: subprocess.Popen[bytes] | None = None
        while (connected := _connect(address)) is None:
            if self._process is None or self._process.poll() == 0:
                command = [sys.executable, __file__, name, str(program)]
                self._process = subprocess.Popen(command, env=dict(environment))
            assert not self._process.poll(), "the process to be forked has failed"
            time.sleep(0.02)
        self._socket = connected

    def can_fork(self, args: tuple[str, ...], environment: Mapping[str, str]) -> bool:
        """Return whether a fork behaves like a new process with this environment."""
        return _read_at_start(environment) == self._fixed and len(_message(args, environment, "/")) < _MAX_BYTES

    def run(
        self, args: tuple[str, ...], environment: Mapping[str, str], folder: Path, stdin: bytes, timeout: float
    ) -> tuple[int, bytes, bytes]:
        """Run the command. Return its exit code, negative for a signal, and its output.

        Raises:
            TimeoutError: If the command, or another process with its streams, has not ended within the timeout.
        """
        ours, theirs = zip(*(_pipe(mode) for mode in "rwww"), strict=True)
        socket.send_fds(self._socket, [_message(args, environment, str(folder))], list(theirs))
        for each in theirs:
            os.close(each)
        source, *results = ours
        out, err, status = _exchange(source, stdin, results, time.monotonic() + timeout)
        return int(status.split()[1]), out, err

    def run_on_terminal(
        self, args: tuple[str, ...], environment: Mapping[str, str], folder: Path, terminal: int
    ) -> tuple[int, int]:
        """Start the command on a terminal, which becomes its controlling terminal, and close our end of it.

        Returns:
            The id of the process, and the descriptor of a pipe from which its exit code can be read when it ends.
        """
        status, theirs = os.pipe()
        message = _message(args, environment, str(folder), on_terminal=True)
        socket.send_fds(self._socket, [message], [terminal, terminal, terminal, theirs])
        os.close(theirs)
        os.close(terminal)
        pid = b""
        while not pid.endswith(b"\n"):
            read = os.read(status, 1)
            assert read, "the command did not start"
            pid += read
        return int(pid), status

    def close(self) -> None:
        """Close the connection, and wait for the process if this one started it. All calls must have ended."""
        self._socket.close()
        if self._process:
            self._process.wait()


def _connect(address: str) -> socket.socket | None:
    """Connect to the forking process. Return None if there is none or it is about to exit."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with suppress(ConnectionError):
        connection.connect(address)
        if connection.recv(1):
            return connection
    connection.close()
    return None


def _pipe(mode: str) -> tuple[int, int]:
    """Return our end of a pipe, and the end that the command reads from or writes to."""
    read, write = os.pipe()
    return (write, read) if mode == "r" else (read, write)


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START)}


def _message(args: tuple[str, ...], environment: Mapping[str, str], folder: str, *, on_terminal: bool = False) -> bytes:
    return marshal.dumps([[*args], dict(environment), folder, on_terminal])


def _exchange(source: int, data: bytes, results: list[int], end: float) -> list[bytes]:
    """Write data to one pipe while reading the others until they are closed. Return the data read from each."""
    received: dict[int, list[bytes]] = {each: [] for each in results}
    os.set_blocking(source, False)
    with selectors.DefaultSelector() as selector:
        for each in results:
            selector.register(each, selectors.EVENT_READ)
        selector.register(source, selectors.EVENT_WRITE)
        while selector.get_map():
            if time.monotonic() > end:
                raise TimeoutError("the command has not ended")
            for key, _ in selector.select(1.0):
                if key.fd == source:
                    data = _write_available(source, data)
                    is_done = not data
                else:
                    chunk = os.read(key.fd, 65_536)
                    received[key.fd].append(chunk)
                    is_done = not chunk
                if is_done:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [b"".join(chunks) for chunks in received.values()]


def _write_available(source: int, data: bytes) -> bytes:
    """Write as much data as the pipe accepts and return the rest, or b"" if the command has stopped reading."""
    try:
        return data[os.write(source, data) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""


def _receive_call(calls: socket.socket) -> tuple[bytes, list[int]]:
    """Receive a call and its descriptors. Return b"" if the connection was closed or its process was killed."""
    try:
        message, descriptors, *_ = socket.recv_fds(calls, 2 * _MAX_BYTES, 4)
    except ConnectionError:
        return b"", []
    return message, descriptors


class _Server:
    """Accepts connections and forks for each call.

    Args:
        listener: The socket that the test processes connect to.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._connections: list[socket.socket] = []
        self._running: dict[int, int] = {}

    def serve(self, program: str) -> None:
        """Serve calls. Returns only in a fork, ready to run the command; exits when all connections are closed."""
        signal.signal(signal.SIGCHLD, self._report_ended)
        while True:
            for ready in self._wait_readable():
                if ready is self._listener:
                    connection, _ = ready.accept()
                    self._connections.append(connection)
                    with suppress(BrokenPipeError):
                        connection.send(b"!")
                    continue
                message, descriptors = _receive_call(ready)
                if message:
                    *streams, status = descriptors
                    args, environment, *rest = marshal.loads(message)
                    if self._fork(args, environment, streams, status):
                        _become(program, args, environment, *rest, streams)
                        return
                    continue
                self._connections.remove(ready)
                ready.close()
                if not self._connections:
                    os._exit(0)

    def _wait_readable(self) -> list[socket.socket]:
        """Wait for readable sockets, and kill commands whose callers were killed (nobody reads their status pipe)."""
        sockets = {each.fileno(): each for each in (self._listener, *self._connections)}
        running = {status: pid for pid, status in [*self._running.items()]}
        poll = select.poll()
        for number in sockets:
            poll.register(number, select.POLLIN)
        for number in running:
            poll.register(number, 0)
        ready = [number for number, _ in poll.poll()]
        for status in running.keys() & ready:
            if self._running.get(running[status]) == status:
                with suppress(ProcessLookupError):
                    os.kill(running[status], signal.SIGKILL)
        return [sockets[number] for number in ready if number in sockets]

    def _fork(self, args: list[str], environment: dict[str, str], streams: list[int], status: int) -> bool:
        """Fork for a call. Return True in the fork."""
        command = None
        if _read_at_start(environment) == _read_at_start(os.environ):
            if _DRAWING & {*args} and "--help" not in args:
                _compile_layout()
            if "codegen" in args and "--help" not in args:
                _import_generator()
            # A command may exit at once, but must be registered before SIGCHLD is handled.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            command = os.fork()
        if command == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            for each in (self._listener, *self._connections):
                each.close()
            for number in (status, *self._running.values()):
                os.close(number)
            return True
        with suppress(BrokenPipeError):
            os.write(status, f"{command or 'refused'}\n".encode())
        for number in streams:
            os.close(number)
        if command is None:
            os.close(status)
            return False
        # Register it only now: until here, the handler of an earlier signal may run and close pipes of ended commands.
        self._running[command] = status
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        # Another thread may have received the signal before the command was registered.
        self._report_ended()
        return False

    def _report_ended(self, *_: object) -> None:
        for pid in [*self._running]:
            try:
                ended, code = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                # A nested call, from another signal, has already reported the process.
                continue
            if ended:
                status = self._running.pop(pid)
                with suppress(BrokenPipeError):
                    os.write(status, str(os.waitstatus_to_exitcode(code)).encode())
                os.close(status)


def _become(
    program: str, args: list[str], environment: dict[str, str], folder: str, on_terminal: bool, streams: list[int]
) -> None:
    """Set up this process with the arguments, environment, folder and streams of a call."""
    if on_terminal:
        os.setsid()
        fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
    sys.argv = [program, *args]
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    if SITE in environment:
        path = environment[SITE]
        exec(compile(Path(path).read_bytes(), path, "exec"), {"__name__": "sitecustomize", "__file__": path})
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, f"__{name}__")
        stream = open(  # noqa: SIM115
            number,
            "r" if name == "stdin" else "w",
            encoding=before.encoding,
            errors=before.errors,
            closefd=False,
            buffering=1 if name == "stderr" else -1,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _end(code: int) -> None:
    """Exit like an interpreter, but without the module teardown, which takes most of a fork's time.

    Returns only if output cannot be written; the interpreter then prints its own message.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):
        return
    os._exit(code)


@cache
def _compile_layout() -> None:
    """Compile the WebAssembly of the graph layout once for all forks; it takes longer than most commands."""
    from stepflow_client.drawing.layout import run_graphviz

    run_graphviz("digraph {}")


@cache
def _import_generator() -> None:
    """Import the model generator once for all forks."""
    from stepflow_cli.codegen.pydantic_models import generate_models

    generate_models({"Model": {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}}, [])


def _import_all() -> None:
    import stepflow_api
    import stepflow_cli
    import stepflow_client

    for package in (stepflow_api, stepflow_cli, stepflow_client):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(("__main__", ".parent_watchdog", ".regenerate")):
                importlib.import_module(module.name)
    # Modules that are imported inside functions, including those of uvicorn.
    names = (
        *("tomllib", "tomlkit", "psutil", "stringprep", "encodings.idna", "encodings.utf_8_sig", "click._textwrap"),
        *("numpy", "anyio._backends._asyncio", "uvicorn.lifespan.on", "uvicorn.loops.asyncio"),
        "uvicorn.protocols.http.h11_impl",
    )
    for name in names:
        importlib.import_module(name)


_FLOW = "steps: [{id: a, component: /builtin/noop, input: {$input: $}}]\noutput: {$step: a}\n"
_COMMANDS = (
    "version",
    "run --help",
    "runs list --no-such-option",
    "validate flow.yaml",
    "run flow.yaml --input-json 1",
    "run flow.yaml --input-json 1 -o json",
    "submit flow.yaml --input-json 1",
    "runs list",
    "runs get @1",
    "runs steps @1 -o json",
    "runs result @1",
    "runs get 00000000-0000-0000-0000-000000000000",
)
"""Commands to run before the first fork. The interpreter specializes code that has run a dozen times."""


def _warm_up() -> None:
    """Run commands on a fake server, in a temporary folder.

    The interpreter stores its inline caches in the code's memory. If they are already filled, forks copy fewer pages
    and take a quarter less time.
    """
    from stepflow_cli.main import run_command_line_and_exit
    from stepflow_client.testing import fake_server

    transport = fake_server().transport

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Otherwise the body waits 40 ms for the acknowledgement of the headers.
        disable_nagle_algorithm = True

        def respond(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            request = httpx.Request(
                self.command, f"http://fake{self.path}", headers=self.headers.items(), content=content
            )
            response = transport.handle_request(request)
            body = response.read()
            self.send_response(response.status_code)
            self.send_header("content-type", response.headers.get("content-type", "application/octet-stream"))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = respond

        def log_message(self, *_: object) -> None:
            pass

    environment, folder = {**os.environ}, os.getcwd()
    nowhere = open(os.devnull, "w")  # noqa: SIM115
    with tempfile.TemporaryDirectory() as temporary, nowhere, http.server.ThreadingHTTPServer(("", 0), Handler) as fake:
        fake.daemon_threads = False
        serving = threading.Thread(target=fake.serve_forever, args=(0.01,))
        serving.start()
        os.environ |= {"HOME": temporary, "STEPFLOW_URL": f"http://127.0.0.1:{fake.server_port}", "COLUMNS": "80"}
        os.chdir(temporary)
        Path("flow.yaml").write_text(_FLOW)
        for line in 12 * _COMMANDS:
            with redirect_stdout(nowhere), redirect_stderr(nowhere), suppress(SystemExit):
                run_command_line_and_exit(line.split())
        os.chdir(folder)
        fake.shutdown()
        serving.join()
    os.environ.clear()
    os.environ.update(environment)
    assert threading.active_count() == 1, "a fork has no other threads"


def _use_large_pages() -> None:
    """Move the memory of this process into 2 MB pages, so that the kernel copies smaller page tables for each fork.

    This makes commands a quarter faster. It has no effect if the kernel does not support such pages.
    """
    size = 2**21
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, rights, *_, name = line.split(" ")
        if "w" not in rights or name not in ("", "[heap]"):
            continue
        start, end = (int(each, 16) for each in addresses.split("-"))
        start, end = -(-start // size) * size, end // size * size
        if start < end:
            advise(start, end - start, _MADV_HUGEPAGE)
            advise(start, end - start, _MADV_COLLAPSE)


def _listen(name: str) -> socket.socket:
    """Return the socket that test processes connect to. Exit if another process already listens on it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(f"\0{name}")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(0)
    listener.listen()
    return listener


if __name__ == "__main__":
    import gc

    server = _Server(_listen(sys.argv[1]))
    _import_all()
    from stepflow_cli.entry import main

    _warm_up()
    gc.freeze()
    _use_large_pages()
    server.serve(sys.argv[2])
    try:
        main()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            _end(error.code or 0)
        raise
    _end(0)
