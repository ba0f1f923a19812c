# Written from the commands by `make generate`.

"""What `stepflow --help` shows, by indent and kind, and the commands with what they do."""

from __future__ import annotations

__all__ = ["COMMANDS", "PAGE"]

Rows = tuple[tuple[str, str], ...]

PAGE: tuple[tuple[int, str, str | Rows], ...] = (
    (0, "line", "Usage: stepflow [OPTIONS] COMMAND [ARGS]..."),
    (0, "line", ""),
    (0, "line", "Examples:"),
    (0, "line", '  stepflow run hello.yaml --input-json \'{"name": "W"}\''),
    (0, "line", "  stepflow serve"),
    (0, "line", "  stepflow runs list"),
    (0, "line", ""),
    (2, "text", "Run Stepflow flows on a server, remote or embedded."),
    (0, "line", ""),
    (2, "text", "Only results go to standard output; everything else goes to standard error."),
    (0, "line", ""),
    (0, "line", "Options:"),
    (
        2,
        "rows",
        (
            ("-V, --version", "Show the version."),
            ("-v, --verbose", "Print more messages; -vv adds debug logs and tracebacks."),
            ("-q, --quiet", "Print no notes and no progress, only results and errors."),
            (
                "--log-level LEVEL",
                "Log level: trace, debug, info, warn, error or off. [env: STEPFLOW_LOG_LEVEL; default: off]",
            ),
            ("--log-file FILE", "Log to this file. [env: STEPFLOW_LOG_FILE; default: standard error]"),
            ("--color WHEN", "Colours: auto, always or never. [default: auto]"),
            ("-h, --help", "Show this message and exit."),
        ),
    ),
    (0, "line", ""),
    (0, "line", "Run flows:"),
    (
        2,
        "rows",
        (
            ("run            ", "Run a flow and print its output."),
            ("submit         ", "Run a flow on a server and print its output."),
            ("list-components", "List the components that flows may use."),
        ),
    ),
    (0, "line", ""),
    (0, "line", "Write flows:"),
    (
        2,
        "rows",
        (
            ("validate       ", "Validate flows: offline checks, and what a server adds to them."),
            ("test           ", "Run the test cases in flow files."),
            ("visualize      ", "Draw the graph of a flow. No server is asked."),
            ("schema         ", "Print a JSON Schema of flows, or of server configurations, for editors."),
        ),
    ),
    (0, "line", ""),
    (0, "line", "On a server:"),
    (
        2,
        "rows",
        (
            ("runs           ", "List, follow, cancel and delete the runs of a server."),
            ("history        ", "List and search the runs that were started from this machine."),
            ("flows          ", "Store, read and delete flows on a server."),
            ("blobs          ", "Store and read blobs: JSON values and files, addressed by their content."),
            ("health         ", "Show a server's health, release and capabilities."),
        ),
    ),
    (0, "line", ""),
    (0, "line", "Servers:"),
    (
        2,
        "rows",
        (
            ("serve          ", "Run a Stepflow server until Ctrl-C or SIGTERM."),
            ("ui             ", "Show a server's runs, flows and components in the browser."),
            ("repl           ", "Run commands at a prompt, all against one server."),
        ),
    ),
    (0, "line", ""),
    (0, "line", "Setup and help:"),
    (
        2,
        "rows",
        (
            ("config         ", "Show and change settings, and manage server profiles."),
            ("doctor         ", "Diagnose what keeps commands from working, and suggest fixes."),
            ("completion     ", "Print a shell completion script for this command."),
            ("help           ", "Show the help of a command."),
            ("version        ", "Show the version."),
        ),
    ),
    (0, "line", ""),
    (
        2,
        "text",
        "Exit codes: 0 success; 1 the run failed, or the server refused; 2 wrong usage, a missing file, malformed "
        "input; 3 the flow is invalid; 4 no server, or not authorised; 5 timed out (a run on a server goes on); 6 "
        "cancelled; 7 a run may or may not have been created; 130 interrupted.",
    ),
)
COMMANDS: dict[str, str] = {
    "run": "Run a flow and print its output.",
    "submit": "Run a flow on a server and print its output.",
    "validate": "Validate flows: offline checks, and what a server adds to them.",
    "test": "Run the test cases in flow files.",
    "schema": "Print a JSON Schema of flows, or of server configurations, for editors.",
    "visualize": "Draw the graph of a flow. No server is asked.",
    "flows": "Store, read and delete flows on a server.",
    "blobs": "Store and read blobs: JSON values and files, addressed by their content.",
    "config": "Show and change settings, and manage server profiles.",
    "list-components": "List the components that flows may use.",
    "runs": "List, follow, cancel and delete the runs of a server.",
    "history": "List and search the runs that were started from this machine.",
    "ui": "Show a server's runs, flows and components in the browser.",
    "serve": "Run a Stepflow server until Ctrl-C or SIGTERM.",
    "repl": "Run commands at a prompt, all against one server.",
    "health": "Show a server's health, release and capabilities.",
    "doctor": "Diagnose what keeps commands from working, and suggest fixes.",
    "completion": "Print a shell completion script for this command.",
    "help": "Show the help of a command.",
    "version": "Show the version.",
}
