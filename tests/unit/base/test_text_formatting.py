"""Text formatting: truncation, escapes, durations, and URLs without passwords."""

from __future__ import annotations

import pytest
from stepflow_client._base import text_formatting


def test_cut_truncates_to_the_maximum_length() -> None:
    assert text_formatting.cut("abcdef", 6) == "abcdef"
    assert text_formatting.cut("abcdefg", 6) == "abcde…"


def test_cut_truncates_by_display_width() -> None:
    def width(word: str) -> int:
        return sum(2 if letter.isupper() else letter.islower() for letter in word)

    assert text_formatting.cut("ABc", 5, width) == "ABc"
    assert [text_formatting.cut("ABc", max_width, width) for max_width in (4, 3, 2)] == ["A…", "A…", "…"]
    # Zero-width characters stay with the preceding text.
    assert text_formatting.cut("ab^^cd", 3, width) == "ab^^…"


def test_quantile_and_short_json() -> None:
    assert [text_formatting.quantile([0.0, 10.0], part) for part in (0, 0.25, 1)] == [0, 2.5, 10]
    assert text_formatting.quantile([7.0], 0.95) == 7
    assert text_formatting.short_json({"a": "x" * 30}, 10) == '{"a": "xx…'


def test_invisible_characters_are_shown_as_dots() -> None:
    assert text_formatting.visible("a\x1b[31m\n\u202eb\u200bé😀") == "a·[31m··b·é😀"
    assert text_formatting.visible_lines("a\nb\t") == "a\nb·"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *((0.0000012, "1µs"), (0.0042, "4.2ms"), (0.25, "250ms"), (1.25, "1.2s"), (9.94, "9.9s"), (10.5, "10s")),
        # Differences between times in whole seconds.
        *((0, "<1s"), (0.0, "<1s"), (1.0, "1s"), (2, "2s")),
        *((42, "42s"), (59.9, "59s"), (60, "1m00s"), (65, "1m05s"), (3_599, "59m59s")),
        *((7_440, "2h04m"), (266_400, "3d02h"), (None, "-")),
    ],
)
def test_durations_are_shortened(seconds: float | None, expected: str) -> None:
    assert text_formatting.duration_text(seconds) == expected


@pytest.mark.parametrize(
    "url",
    ["http://me:secret@host:1/api", "http://me:se/cret@host:1/api", "http://me:a://b@host:1/api", "http://host:1/api"],
)
def test_a_url_is_shown_without_its_password(url: str) -> None:
    assert text_formatting.format_url_without_credentials(url) == "http://host:1/api"
    assert text_formatting.format_url_without_credentials(url.removeprefix("http://")) == "host:1/api"
    assert text_formatting.format_url_without_credentials("user:a://b@host:1") == "host:1"
