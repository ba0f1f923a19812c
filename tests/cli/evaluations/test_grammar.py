"""Values of `--variant`, `--score`, `--fail-below` and `--worst` are parsed, and invalid ones are explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_cli.errors import Problem, Session
from stepflow_cli.evaluations.options import (
    build_variants,
    check_gate_names,
    get_flow_arguments_by_variant,
    load_scores,
    parse_score_limits,
    parse_worst_cases,
)
from stepflow_client.evaluation import FlowScore
from stepflow_client.evaluation.gates import GateRules, Limit

FLOW: dict[str, Any] = {
    "schemas": {"type": "object", "properties": {"variables": {"properties": {"tone": {"type": "string"}}}}},
    "steps": [{"id": "reply", "component": "/builtin/noop", "input": {"max": 10, "tone": {"$variable": "tone"}}}],
    "output": {"$step": "reply"},
}
SCORES = """
from json import dumps


def polite(output):
    return True


async def length(output):
    return 1


def _helper(output):
    return 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "v2.yaml").write_text("name: two\nsteps: []\noutput: 1\n")
    (tmp_path / "judge.yaml").write_text("steps: []\noutput: 1\n")
    (tmp_path / "scores.py").write_text(SCORES)
    with in_session():
        yield tmp_path


def in_session() -> Any:
    import click

    return click.Context(click.Command("eval"), obj=Session())


def message_and_hint(error: pytest.ExceptionInfo[Problem]) -> str:
    return f"{error.value.message} | {error.value.hint}"


def test_variants() -> None:
    values = ["now", "formal: tone=very formal", "v2=v2.yaml", "formal:reply.input.max=50", "odd.Name-1 _:tone=a=b:c"]
    variants = build_variants(values, FLOW)
    assert variants is not None
    assert list(variants) == ["now", "formal", "v2", "odd.Name-1 _"]
    assert (variants["now"].flow, variants["now"].variables, variants["now"].overrides) == (None, None, None)
    assert variants["formal"].overrides == {"reply": {"value": {"input": {"max": 50}}}}
    assert variants["odd.Name-1 _"].variables == {"tone": "a=b:c"}
    assert variants["v2"].flow["name"] == "two"  # type: ignore[call-overload,index]
    assert build_variants([], FLOW) is None
    assert get_flow_arguments_by_variant(values, "ticket.yaml")["v2"] == "v2.yaml"
    assert get_flow_arguments_by_variant(values, "ticket.yaml")["now"] == "ticket.yaml"


SYNTAX = "write NAME, NAME:VARIABLE=VALUE, NAME:STEP.input.KEY=VALUE or NAME=FLOW"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["=x"], f"--variant '=x' has no name | {SYNTAX}"),
        (["a:tone"], f"--variant 'a:tone' sets nothing: 'tone' has no = | {SYNTAX}"),
        (["a:=1"], f"--variant 'a:=1' sets nothing: '=1' has no name before = | {SYNTAX}"),
        (["a="], "--variant a= has no flow | use a=FLOW for another flow, a for the flow as is"),
        (["tone=formal"], "variant tone: formal is neither a flow file nor a flow ID | "
         "to set a variable, use --variant NAME:tone=formal"),
        (["a=v3.yaml"], "variant a: v3.yaml does not exist | the working folder has judge.yaml, v2.yaml"),
        ([f"a={'0' * 64}"], "variant a is the ID of a stored flow, not a file | "
         f"to write it to a file, run 'stepflow flows get {'0' * 64} -O a.yaml'"),
        (["a:rpely.input.max=1"], "the flow has no step rpely | did you mean reply?"),
        (["a=v2.yaml", "a=judge.yaml"], "variant a has two flows: v2.yaml and judge.yaml | "
         "give one of them a different name: NAME=FLOW"),
        (["a/b"], "--variant 'a/b': a variant name may have letters, digits, spaces and -._, so 'a/b' is invalid | "
         f"{SYNTAX}"),
        (["\x1b[2J"], "--variant '\\x1b[2J': a variant name may have letters, digits, spaces and -._, so "
         f"'\\x1b[2J' is invalid | {SYNTAX}"),
    ],
)  # fmt: skip
def test_invalid_variants(values: list[str], message: str) -> None:
    with pytest.raises(Problem) as error:
        build_variants(values, FLOW)
    assert message_and_hint(error) == message


def test_scores(folder: Path) -> None:
    (folder / "schema.json").write_text('{"type": "number"}')
    values = ["exact:category", "price=close:price:5%", "contains:reply:refund", "regex::^a=b$", "latency"]
    values += ["output_field:cost:lower", "valid=schema_valid::schema.json", "scores.py", "judge.yaml", "v2.yaml"]
    values += ["nice=scores.py:polite", "scores:length"]
    with pytest.raises(Problem) as error:
        load_scores(values)
    assert (
        message_and_hint(error)
        == "two scores are called length | give one of them a different name: --score NAME=scores:length"
    )
    scores = load_scores([*values[:-1], "mine=scores.py"])
    assert list(scores) == [
        *("exact.category", "price", "contains.reply", "regex", "latency", "cost", "valid", "polite", "length"),
        *("judge", "two", "nice", "mine.polite", "mine.length"),
    ]
    assert scores["price"].relative == 0.05
    assert scores["regex"].pattern == "^a=b$"
    assert scores["cost"].lower_is_better is True
    assert isinstance(scores["judge"], FlowScore)
    assert scores["nice"]({}) is True


def test_scores_variable_is_used_unchanged(folder: Path) -> None:
    (folder / "listed.py").write_text(f"{SCORES}\nscores = [_helper]\n")
    (folder / "named.py").write_text(f"{SCORES}\nscores = {{'a': _helper, 'b': polite}}\n")
    assert list(load_scores(["listed.py"])) == ["_helper"]
    assert list(load_scores(["named.py"])) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("exct:category", "--score exct:category: no module named exct | did you mean exact?"),
        ("polite", "--score polite: no module named polite | built-in scores are exact, contains, regex, "
         "json_distance, close, schema_valid, latency, output_field, usage, rubric; for your own, pass a file: "
         "--score scores.py"),
        ("scroes.py", "--score scroes.py: scroes.py does not exist | did you mean scores.py?"),
        ("scores.py:poltie", "scores.py has no score poltie | did you mean polite?"),
        ("close:price", "--score close:price: this score is written as close:PATH:0.01 or close:PATH:5% | None"),
        ("close:price:x", "--score close:price:x: this score is written as close:PATH:0.01 or close:PATH:5% | None"),
        ("close:price:nan", "--score close:price:nan: absolute must be a number >= 0, not nan | None"),
        ("regex:a", "--score regex:a: this score is written as regex:PATH:PATTERN | None"),
        ("regex:a:(", "--score regex:a:(: pattern is not a regular expression: missing ), unterminated subpattern at "
         "position 0 | None"),
        ("latency:a", "--score latency:a: this score is written as latency | None"),
        ("exact:a[", "--score exact:a[: invalid path 'a[': a [ is not closed | write it as answer.items[0]"),
        ("output_field:cost:up", "--score output_field:cost:up: this score is written as output_field:PATH[:lower] | "
         "None"),
    ],
)  # fmt: skip
def test_invalid_scores(value: str, message: str) -> None:
    with pytest.raises(Problem) as error:
        load_scores([value])
    assert message_and_hint(error) == message


def test_invalid_score_files(folder: Path) -> None:
    for name, text, message in (
        ("bad.py", "def f(:\n", "--score bad.py: bad.py cannot be imported: SyntaxError: invalid syntax (bad.py:1)"),
        ("stops.py", "1 / 0\n", "--score stops.py: stops.py cannot be imported: ZeroDivisionError: division by zero"),
        ("empty.py", "_x = 1\n", "empty.py has no score: it defines no public function"),
    ):
        (folder / name).write_text(text)
        with pytest.raises(Problem) as error:
            load_scores([name])
        assert error.value.message.startswith(message)


def test_limits() -> None:
    assert parse_score_limits(["exact.category=0.9", "v2:failed=0.01"], "--fail-below") == [
        Limit("exact.category", 0.9),
        Limit("failed", 0.01, "v2"),
    ]
    assert parse_score_limits(["0.02"], "--tolerance", needs_score=False) == [Limit(None, 0.02)]
    assert (parse_worst_cases("20"), parse_worst_cases("length.kind=login=3")) == (
        Limit(None, 20),
        Limit("length.kind=login", 3),
    )


@pytest.mark.parametrize("value", ["exact", "exact=", "=1", "0.5", "exact=nan", "exact=inf", ":exact=1", "v2:=1"])
def test_invalid_limits(value: str) -> None:
    with pytest.raises(Problem, match="--fail-below"):
        parse_score_limits([value], "--fail-below")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "exact="])
def test_invalid_numbers_of_worst_cases(value: str) -> None:
    with pytest.raises(Problem, match="--worst"):
        parse_worst_cases(value)


def test_names_are_checked_before_anything_runs() -> None:
    gate_rules = GateRules([Limit("length.tone", 1), Limit("failed", 0.1, "v2")], [Limit(None, 0.1)])
    check_gate_names(gate_rules, ["length"], ["now", "v2"])
    with pytest.raises(Problem) as error:
        check_gate_names(gate_rules, ["exact.category"], ["now", "v2"])
    assert message_and_hint(error) == "--fail-below: unknown score length.tone | the scores are exact.category, failed"
    with pytest.raises(Problem) as error:
        check_gate_names(gate_rules, ["length"], ["now", "v3"])
    assert message_and_hint(error) == "--fail-below: unknown variant v2 | the variants are now, v3"
