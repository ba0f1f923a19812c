"""The keys by which a journal knows scores again."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from stepflow_client.evaluation import contains, exact, regex, score_key

SOURCE = """\
PROMPT = "Is it polite?"
WORDS = {"please": 1}
calls = []

def helper(text):
    return len(text)

class Judge:
    def __init__(self, model="small"):
        self.model = model
    def __call__(self, output):
        return helper(output)

def score(output):
    calls.append(output)
    return helper(PROMPT) + len(WORDS)
"""


def loaded(folder: Path, source: str) -> dict[str, Any]:
    """Return the names of a module with this source."""
    path = folder / f"scores{abs(hash(source))}.py"
    path.write_text(source)
    names: dict[str, Any] = {"__name__": "scores"}
    exec(compile(source, str(path), "exec"), names)
    return names


def test_the_key_follows_the_source_and_what_it_reads(tmp_path: Path) -> None:
    key = score_key(loaded(tmp_path, SOURCE)["score"])
    assert score_key(loaded(tmp_path, SOURCE)["score"]) == key
    assert score_key(loaded(tmp_path, f"\n\n{SOURCE}")["score"]) == key
    for old, new in [("+ len(", "- len("), ("polite", "rude"), ("len(text)", "len(text) + 1"), ('": 1', '": 2')]:
        assert old in SOURCE
        assert score_key(loaded(tmp_path, SOURCE.replace(old, new))["score"]) != key


def test_what_a_function_collects_does_not_change_its_key(tmp_path: Path) -> None:
    score = loaded(tmp_path, SOURCE)["score"]
    key, count = score_key(score), 0

    def counting(output: Any) -> int:
        nonlocal count
        count += 1
        return count

    before = score_key(counting)
    score("x")
    counting("x")
    assert score_key(score) == key
    assert score_key(counting) == before


def test_a_version_stands_for_the_source(tmp_path: Path) -> None:
    one, other = (loaded(tmp_path, text)["score"] for text in (SOURCE, SOURCE.replace("polite", "rude")))
    one.version = other.version = "1"
    key = score_key(one)
    assert score_key(other) == key
    other.version = "2"
    assert score_key(other) != key


def test_arguments_are_part_of_the_key(tmp_path: Path) -> None:
    def judge(output: Any, model: str = "small") -> int:
        return len(model)

    def made(model: str) -> Any:
        return lambda output: len(model)

    judge_class = loaded(tmp_path, SOURCE)["Judge"]
    given = [partial(judge, model="a"), partial(judge, model="b"), judge, made("a"), made("b")]
    given += [judge_class("a"), judge_class("b"), judge_class("a").__call__]
    assert len({score_key(each) for each in given}) == len(given)
    assert score_key(judge_class("a")) == score_key(judge_class("a"))


def test_built_in_scores_with_the_same_arguments_have_one_key() -> None:
    assert score_key(exact("a")) == score_key(exact("a"))
    given = [exact(), exact("a"), contains("a"), contains("a", "x"), regex("x", "a"), regex("y", "a")]
    assert len({score_key(each) for each in given}) == len(given)


def test_a_key_is_the_same_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "own_scores.py").write_text(SOURCE)
    program = (
        "import own_scores; from stepflow_client.evaluation.score_keys import score_key; "
        "print(score_key(own_scores.score), score_key(own_scores.Judge()))"
    )
    command = [sys.executable, "-c", program]
    found = {subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout for _ in range(2)}
    assert len(found) == 1
