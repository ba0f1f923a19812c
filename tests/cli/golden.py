"""Golden files: a command's complete output, next to the tests in golden/<test module>/<test>.txt.

`python -m pytest tests/cli --rewrite-golden` rewrites them; check the difference before committing it.
"""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"

# A narrow terminal may wrap them anywhere.
_DIGIT = r"[0-9a-f](?:\n *)?"
_UUID = re.compile(rf"\b(?:{_DIGIT}){{8}}(?:-(?:\n *)?(?:{_DIGIT}){{4}}){{3}}-(?:\n *)?(?:{_DIGIT}){{11}}[0-9a-f]\b")
_HASH = re.compile(rf"\b(?:{_DIGIT}){{63}}[0-9a-f]\b")
_DURATION = r"(?:<1s|\d+(?:\.\d)?(?:µs|ms|s))(?!\w)"
_REPLACEMENTS = [
    (re.compile(r"\b20\d\d-\d\d-\d\d([T ])\d\d:\d\d:\d\d"), r"2000-01-01\g<1>00:00:00"),
    (re.compile(r"(00:00:00\.)\d{3,9}"), lambda match: match[1] + "0" * (len(match[0]) - len(match[1]))),
    (re.compile(r"\b\d+[sm] ago\b"), "0s ago"),
    (re.compile(r"install -e '?[^'\s]*/packages/"), "install -e '/checkout/packages/"),
    # On a busy machine, runs take longer. In a table, durations end at the same column.
    (re.compile(rf"(?m)^(DURATION +){_DURATION}"), r"\g<1>1s"),
    (re.compile(rf"   +{_DURATION}"), lambda match: "1s".rjust(len(match[0]))),
    (re.compile(rf"(?<![\w.\"]){_DURATION}(?! ago)"), "1s"),
    (re.compile(r"(\bseconds\"?: |\btime=\")\d+\.\d+"), r"\g<1>0.0"),
    (re.compile(r"(\bduration\"?: )\d+(\.\d+)?(e-\d+)?"), r"\g<1>0.0"),
    (re.compile(r"(127\.0\.0\.1|localhost):\d{5}\b"), r"\g<1>:10000"),
]


def scrub(text: str, folder: Path) -> str:
    """Replace values that vary between calls. Replacements keep the length, so that tables stay aligned.

    Args:
        text: A command's output.
        folder: The folder of the test, which becomes `/folder`.
    """
    text = text.replace(str(folder), "/folder")
    for pattern, width in ((_UUID, 12), (_HASH, 64)):
        replacements: dict[str, str] = {}

        def renumber(match: re.Match[str], width: int = width, replacements: dict[str, str] = replacements) -> str:
            original = re.sub(r"\n *", "", match[0])
            number = f"{len(replacements) + 1:0{width}d}"
            digits = iter(
                replacements.setdefault(original, number if width == 64 else f"00000000-0000-0000-0000-{number}")
            )
            # Keep the line breaks.
            return re.sub(r"[-0-9a-f]", lambda _: next(digits), match[0])

        text = pattern.sub(renumber, text)
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)  # type: ignore[arg-type]
    return text


class Golden:
    """Compares output with the golden file of a test.

    Args:
        name: The file's path in the folder of golden files, without its extension.
        folder: The folder of the test.
        rewrite: Whether to write the file instead of comparing.
    """

    def __init__(self, name: str, folder: Path, *, rewrite: bool) -> None:
        self._path = FOLDER / f"{name}.txt"
        self._folder = folder
        self._rewrite = rewrite

    def __call__(self, *printed: object) -> None:
        """Compare output: the result of `stepflow(...)`, or a terminal. Several outputs are concatenated."""
        text = scrub("\n".join(str(each) for each in printed), self._folder)
        if self._rewrite:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(text)
        assert self._path.exists(), f"there is no {self._path}; run this test with --rewrite-golden, which writes it"
        assert text == self._path.read_text(), "if this difference is intended, run this test with --rewrite-golden"
