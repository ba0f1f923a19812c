"""The fenced code blocks on the documentation pages. This module imports only the standard library."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {"docs/cli.md", "docs/servers.md"}
"""Generated pages, which have no code to run."""
_PAGES = [*ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/[!.]*.md")]
PAGES = ["README.md", *sorted({path.relative_to(ROOT).as_posix() for path in _PAGES} - GENERATED)]
LANGUAGES = {"bash", "console", "javascript", "json", "nginx", "python", "text", "toml", "yaml"}

FENCE = re.compile(r"^ {0,3}(?:```|~~~)(?P<language>.*)$")
FILE_NAME = re.compile(r"# (?P<name>[\w.-]+\.(?:csv|json|py|yaml|yml))\n")
"""The first line of a block that contains a file."""

_INCLUDED = re.compile(r'--8<-- "(?P<file>examples/[\w./]+)"\n')
"""A block that includes a file from the examples, which have their own tests."""
_INSTALLING = ("pip install", "make ", ". .build/")
LASTING = ("stepflow serve", "stepflow ui")


class Block(NamedTuple):
    """A fenced block."""

    language: str
    line: int
    """The line number of its first line of code, from 1."""
    text: str

    @property
    def file_name(self) -> str | None:
        """The name of the file that the block contains, if any."""
        named = FILE_NAME.match(self.text)
        return named["name"] if named else None

    @property
    def is_for_the_shell(self) -> bool:
        """Whether the block has commands other than installations and commands that run until they are interrupted."""
        commands = [line for line in self.text.splitlines() if line and not line.startswith("#")]
        return not all(line.startswith(_INSTALLING) or line in LASTING or " --watch" in line for line in commands)


class Shown(NamedTuple):
    """A command with its output in a `console` block."""

    command: str
    output: str

    def is_printed(self, printed: str) -> bool:
        """Return whether the printed text matches the output on the page, in which `...` matches any text."""
        pattern = ".*".join(re.escape(part) for part in self.output.strip("\n").split("..."))
        return re.fullmatch(pattern, printed.strip("\n"), re.DOTALL) is not None


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page."""
    result: list[Block] = []
    opened: tuple[str, int] | None = None
    lines = (ROOT / page).read_text("utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        fence = FENCE.match(line)
        if fence is None:
            continue
        if opened is None:
            opened = fence["language"].strip(), number + 1
        else:
            language, first = opened
            text = "".join(f"{each}\n" for each in lines[first - 1 : number - 1])
            opened = None
            if included := _INCLUDED.fullmatch(text):
                assert (ROOT / included["file"]).is_file(), f"{page}:{first}: there is no {included['file']}"
            else:
                result.append(Block(language, first, text))
    assert opened is None, f"{page}: the last block is not closed"
    return result


def in_one_terminal(commands: str, environment: Path) -> str:
    """Return shell code that shares exported variables, through a file, with the code before and after it."""
    return f"[ ! -e {environment} ] || . {environment}\n{commands}\nexport -p > {environment}"


def expected_lines(source: str) -> list[str]:
    """Return the lines that a Python block prints, according to the comments next to its calls of print."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token for token in tokens if token.type == tokenize.COMMENT}
    expected: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            line = node.end_lineno or 0
            if line in comments:
                expected.append(comments[line].string.removeprefix("# "))
            while (below := comments.get(line := line + 1)) and below.line.lstrip().startswith("#"):
                expected.append(below.string.removeprefix("# "))
    return expected


def in_language(page: str, language: str) -> list[Block]:
    """Return the blocks of a page in a language."""
    return [block for block in blocks(page) if block.language == language]


def session(block: Block) -> list[Shown]:
    """Return the commands of a `console` block with their outputs."""
    first, *commands = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not first, f"line {block.line}: a console block begins with a command"
    return [Shown(command, output) for command, _, output in (each.partition("\n") for each in commands)]
