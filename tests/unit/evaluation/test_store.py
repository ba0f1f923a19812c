"""The evaluation store keeps settings, items and scores in a folder."""

from __future__ import annotations

import gc
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import ExecutionStatus, FlowError, InvalidArgumentError, JournalError
from stepflow_client._data.secrets import Secrets
from stepflow_client.evaluation import EvaluationCase, EvaluationReport, trend
from stepflow_client.evaluation.records import ItemBlock, build_item_block
from stepflow_client.evaluation.store import EvaluationStore, StoredItems
from stepflow_client.types.results import Outcome

COMPLETED = ExecutionStatus.COMPLETED
CASES = [EvaluationCase(f"case {number}", {"n": number}, number % 2) for number in range(450)]


def create_store(folder: Path, *variants: str, **settings: Any) -> EvaluationStore:
    store = EvaluationStore(folder, is_new=True)
    store.store_or_check_settings(
        CASES, 1, dict.fromkeys(variants or ("a",), "settings"), **{"scores": ["k"], **settings}
    )
    return store


def build_items(*numbers: int, variant: int = 0, **fields: Any) -> ItemBlock:
    outcomes = [
        Outcome(number, None, "run", item_index=3, **{"status": COMPLETED, "output": {"n": number}, **fields})
        for number in numbers
    ]
    return build_item_block("ab"[variant], variant, 1, [CASES[number] for number in numbers], outcomes)


def score_arguments(number: int, *values: Any, key: str = "k") -> tuple[Any, ...]:
    return 0, number, len(values), key, {"score": values}, {}


def test_trend_over_several_evaluations(tmp_path: Path) -> None:
    for day, value in ((2, 0.5), (1, 0.25), (3, 1.0)):
        with create_store(tmp_path / f"day{day}", began=f"2026-11-0{day}T12:00:00+00:00") as store:
            store.store_blocks([build_items(*range(450))])
            store.store_scores(*score_arguments(0, *[value] * 10))
    points = trend(tmp_path)
    assert [(each.name, each.mean, each.cases) for each in points] == [
        ("day1", 0.25, 10),
        ("day2", 0.5, 10),
        ("day3", 1.0, 10),
    ]
    EvaluationStore(tmp_path / "of invalid cases", is_new=True).close()
    assert [each.name for each in trend(tmp_path, limit=2)] == ["day2", "day3"]
    with pytest.raises(JournalError, match="has not started"):
        EvaluationReport.load(tmp_path / "of invalid cases")
    with pytest.raises(InvalidArgumentError, match="has an evaluation"):
        trend(tmp_path / "day1")


def test_items_are_loaded_with_their_scores(tmp_path: Path) -> None:
    failure = {"status": ExecutionStatus.FAILED, "output": None, "error": FlowError(message="no")}
    with create_store(tmp_path / "eval") as store:
        store.store_blocks([build_items(*range(201, 450)), build_items(*range(1, 201))])
        store.store_blocks([build_items(0, **failure)])
        store.store_scores(0, 448, 2, "k", {"score": [None, 0.5], "label": [None, "x"]}, {"score": ["e", None]})
        store.store_scores(*score_arguments(447, 1, key="old"))
        store.store_scores(*score_arguments(300, 2, 2))
    items = list(EvaluationReport.load(tmp_path / "eval"))
    assert [item.case for item in items] == [case.name for case in CASES]
    assert (items[0].status, items[0].error, items[0].output) == ("failed", "no", None)
    assert (items[449].input, items[449].expected, items[449].output) == ({"n": 449}, 1, {"n": 449})
    assert (items[449].run_id, items[449].item_index) == ("run", 3)
    assert (items[449].scores, items[448].score_errors) == ({"score": 0.5, "label": "x"}, {"score": "e"})
    assert items[447].scores == {}
    assert [items[number].scores for number in range(299, 303)] == [{}, {"score": 2}, {"score": 2}, {}]


def test_a_loaded_report_equals_one_built_from_its_items(tmp_path: Path) -> None:
    with create_store(tmp_path / "eval", "a", "b") as store:
        store.store_blocks([build_items(*range(450)), build_items(0, 1, 2, variant=1, status=ExecutionStatus.FAILED)])
        store.store_scores(0, 3, 2, "k", {"score": [1.5, 2], "tone": ["x", None]}, {"other": [None, "e"]})
        store.store_scores(*score_arguments(5, True, None))
    report = EvaluationReport.load(tmp_path / "eval")
    rebuilt = EvaluationReport(list(report), variants=report.variants)
    assert rebuilt.summary() == report.summary()
    assert report.summary().to_dict()["variants"] == ["a", "b"]


def test_stored_items_and_scores_are_not_overwritten(tmp_path: Path) -> None:
    with create_store(tmp_path / "eval") as store:
        store.store_blocks([build_items(0)])
        store.store_blocks([build_items(0, output={"n": "other"})])
        for value in (1, 2):
            store.store_scores(*score_arguments(0, value))
        (item,) = store.iter_items()
    assert (item.output, item.scores) == ({"n": 0}, {"score": 1})


def test_items_without_a_score_are_found(tmp_path: Path) -> None:
    with create_store(tmp_path / "eval", "a", "b") as store:
        store.store_blocks([build_items(*range(100)), build_items(*range(100, 300))])
        store.store_blocks([build_items(0, variant=1), build_items(1, variant=1, status=ExecutionStatus.FAILED)])
        store.store_scores(*score_arguments(0, *[None] * 298))
        store.store_scores(*score_arguments(299, None))
        block_lengths = {0: store.read_block_lengths(0), 1: store.read_block_lengths(1)}
        assert block_lengths == {0: {0: 100, 100: 200}, 1: {0: 1, 1: 1}}
        unscored = [(block.variant, block.first, places) for block, places in store.iter_unscored("k", block_lengths)]
        assert unscored == [(0, 100, [198]), (1, 0, [0])]
        assert len(list(store.iter_unscored("k", {0: {}, 1: {0: 1}}))) == 1


def test_only_one_evaluation_writes_to_a_folder(tmp_path: Path) -> None:
    with create_store(tmp_path / "eval"):
        for is_new in (True, False):
            with pytest.raises(JournalError, match="in use by another evaluation"):
                list(EvaluationStore(tmp_path / "eval", is_new=is_new).iter_items())
    with create_store(tmp_path / "eval") as store:
        assert store.variants == {"a": 0}


def test_reports_can_be_read_at_the_same_time(tmp_path: Path) -> None:
    with create_store(tmp_path / "eval") as store:
        store.store_blocks([build_items(0, 1)])
    report = EvaluationReport.load(tmp_path / "eval")
    assert [one == other for one, other in zip(report, report, strict=True)] == [True, True]


def test_the_files_are_private(tmp_path: Path) -> None:
    create_store(tmp_path / "deep" / "eval").close()
    assert stat.S_IMODE((tmp_path / "deep" / "eval" / "evaluation.db").stat().st_mode) == 0o600


def test_a_folder_without_an_evaluation_has_no_report(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(JournalError, match="contains no evaluation"):
            EvaluationReport.load(folder)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", [b"no database at all, but text" * 99, b""])
def test_a_damaged_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "evaluation.db").write_bytes(content)
    with pytest.raises(JournalError):
        EvaluationReport.load(tmp_path)


def test_a_damaged_row_is_an_error(tmp_path: Path) -> None:
    with create_store(tmp_path / "eval") as store:
        store.store_blocks([build_items(0)])
    with closing(sqlite3.connect(tmp_path / "eval" / "evaluation.db", isolation_level=None)) as file:
        file.execute("UPDATE items SET details = '{'")
    with pytest.raises(JournalError, match="damaged"):
        EvaluationReport.load(tmp_path / "eval")


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    create_store(tmp_path / "eval").close()
    with closing(sqlite3.connect(tmp_path / "eval" / "evaluation.db", isolation_level=None)) as file:
        file.execute("UPDATE about SET value = '2' WHERE name = 'version'")
    with pytest.raises(JournalError, match="version 2"):
        EvaluationStore(tmp_path / "eval")


def test_an_evaluation_without_cases_is_refused(tmp_path: Path) -> None:
    with EvaluationStore(tmp_path, is_new=True) as store:
        with pytest.raises(InvalidArgumentError, match="no cases"):
            store.store_or_check_settings([], 1, {"a": "settings"})
        assert store.store_or_check_settings(CASES, 1, {"a": "settings"}) == 450


def test_variants_can_be_omitted_and_added_again(tmp_path: Path) -> None:
    for variants in (("a", "b"), ("b",), ("c", "a")):
        create_store(tmp_path / "eval", *variants).close()
        with EvaluationStore(tmp_path / "eval") as store:
            assert set(store.variants) == set(variants)
    with EvaluationStore(tmp_path / "eval") as store:
        assert store.variants == {"a": 0, "c": 2}


def test_a_temporary_folder_is_deleted_with_its_items() -> None:
    items = StoredItems(None)
    path = items.folder
    assert path.is_dir()
    del items
    gc.collect()
    assert not path.exists()


def test_a_loaded_report_masks_secrets(tmp_path: Path) -> None:
    failure = {"status": ExecutionStatus.FAILED, "output": None, "error": FlowError(message="no hunter22")}
    with create_store(tmp_path / "eval") as store:
        store.secrets = Secrets(["hunter22"])
        store.store_blocks([build_items(0, output={"key": "is hunter22"}), build_items(1), build_items(2, **failure)])
        # Scores that are computed later see the unmasked output.
        first, _ = next(store.iter_unscored("k", {0: store.read_block_lengths(0)}))
        assert [item.output for item in first.items] == [{"key": "is hunter22"}]
    report = EvaluationReport.load(tmp_path / "eval")
    assert [(item.output, item.error) for item in report] == [
        ({"key": "is ***"}, None),
        ({"n": 1}, None),
        (None, "no ***"),
    ]
    assert "hunter22" not in report.to_html()
