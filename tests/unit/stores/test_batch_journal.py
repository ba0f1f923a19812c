"""The journal of a batch: its entries, resuming, and consistency checks."""

from __future__ import annotations

import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from stepflow_client import ErrorCode, ExecutionStatus, FlowError, JournalError, Outcome
from stepflow_client._rules.chunks import Chunk
from stepflow_client._stores.batch_journal import Journal


def test_a_chunk_that_has_begun_can_be_read(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "batch.journal")) as journal:
        assert not journal.has_begun_any_chunk()
        chunk = Chunk(0, first=0, tag="t", count=2, digest="d")
        journal.record_chunk_begin(chunk)
        assert journal.has_begun_any_chunk()
        assert journal.find_chunk(0, 0) == chunk
        assert journal.find_chunk(1, 2) is None


def test_the_journal_and_its_log_are_private(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "batch.journal")):
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert modes == {"batch.journal": 0o600, "batch.journal-wal": 0o600}


RUNS = [f"01900000-0000-7000-8000-00000000000{digit}" for digit in range(3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "batch.journal"


def reopen(journal: Journal) -> Journal:
    """Reopen the journal, like the next process would."""
    journal.close()
    return Journal(journal.path)


def outcomes_of(chunk: Chunk) -> list[Outcome]:
    failure = FlowError(message="no", code=ErrorCode.TIMEOUT, details={"n": 1})
    failed = Outcome(chunk.first, None, RUNS[0], ExecutionStatus.FAILED, error=failure, attempts=2, item_index=0)
    rest = range(chunk.first + 1, chunk.first + chunk.count)
    return [failed, *(Outcome(index, "k", RUNS[0], ExecutionStatus.COMPLETED, {"n": index}) for index in rest)]


def test_a_batch_keeps_its_tag_for_the_same_settings_only(path: Path) -> None:
    journal = Journal(path)
    tag = journal.begin_or_resume_batch({"flow": "a", "variables": "b"})
    journal = reopen(journal)
    assert journal.begin_or_resume_batch({"flow": "a", "variables": "b"}) == tag
    with pytest.raises(JournalError) as caught:
        journal.begin_or_resume_batch({"flow": "a", "variables": "other"})
    assert caught.value.message == f"the journal {path} belongs to a different batch: variables changed"
    assert caught.value.hint == "use a separate journal for a changed batch"
    journal.close()
    with closing(Journal(path.with_name("other.journal"))) as other:
        assert other.begin_or_resume_batch({"flow": "a", "variables": "b"}) != tag


def test_a_finished_batch_accepts_more_inputs(path: Path) -> None:
    journal = Journal(path)
    journal.begin_or_resume_batch({})
    assert not journal.has_batch_ended()
    journal.record_batch_end()
    journal = reopen(journal)
    assert journal.has_batch_ended()
    journal.begin_or_resume_batch({})
    assert not journal.has_batch_ended()
    journal.close()


def test_the_first_start_and_the_first_run_are_kept(path: Path) -> None:
    journal = Journal(path)
    assert journal.record_or_get_first_run() is None
    assert journal.get_or_set_start_time(5.5) == 5.5
    assert journal.record_or_get_first_run(RUNS[0]) == RUNS[0]
    journal = reopen(journal)
    assert journal.get_or_set_start_time(9.0) == 5.5
    assert journal.record_or_get_first_run() == RUNS[0]
    journal.close()


def test_chunks_round_trip(path: Path) -> None:
    journal = Journal(path)
    chunks = [Chunk(0, first=0, tag="t", count=2, digest="d"), Chunk(1, first=2, tag="u", count=3, digest="e")]
    for chunk in chunks:
        journal.record_chunk_begin(chunk)
    assert journal.has_unrecorded_run()
    journal.record_run(0, RUNS[0])
    journal.record_run(1, RUNS[1])
    journal.record_outcomes(1, outcomes_of(chunks[1]))
    journal = reopen(journal)
    assert journal.has_begun_any_chunk()
    assert not journal.has_unrecorded_run()
    assert journal.find_chunk(0, 0) == replace(chunks[0], run_id=RUNS[0])
    ended = journal.find_chunk(1, 2)
    assert ended == replace(chunks[1], run_id=RUNS[1], outcomes=outcomes_of(chunks[1]))
    assert [each.item_index for each in ended.outcomes or []] == [0, None, None]
    assert journal.find_chunk(2, 5) is None
    journal.close()


def test_a_repeated_chunk_has_no_run_yet(path: Path) -> None:
    journal = Journal(path)
    chunk = Chunk(0, first=0, tag="t", count=2, digest="d")
    journal.record_chunk_begin(chunk)
    journal.record_run(0, RUNS[0])
    chunk.attempt, chunk.settled = 2, outcomes_of(chunk)[:1]
    journal.record_chunk_begin(chunk)
    journal.record_chunk_repeat(chunk)
    journal = reopen(journal)
    assert journal.has_unrecorded_run()
    assert journal.find_chunk(0, 0) == chunk
    journal.record_run(0, RUNS[1])
    assert journal.find_chunk(0, 0) == replace(chunk, run_id=RUNS[1])
    journal.close()


def test_outcomes_of_other_inputs_are_rejected(path: Path) -> None:
    with closing(Journal(path)) as journal:
        chunk = Chunk(0, first=0, tag="t", count=2, digest="d")
        journal.record_chunk_begin(chunk)
        reason = "the outcomes of chunk 0 do not match its inputs"
        with pytest.raises(JournalError, match=reason):
            journal.find_chunk(0, 1)
        chunk.settled = outcomes_of(Chunk(0, first=2, tag="t", count=1))
        journal.record_chunk_repeat(chunk)
        with pytest.raises(JournalError, match=reason):
            journal.find_chunk(0, 0)
        journal.record_chunk_repeat(replace(chunk, settled=[]))
        for outcomes in (outcomes_of(chunk)[:1], outcomes_of(chunk)[::-1]):
            journal.record_outcomes(0, outcomes)
            with pytest.raises(JournalError, match=reason):
                journal.find_chunk(0, 0)


@pytest.mark.parametrize(
    ("removed", "missing"), [("kind = 'begun' AND number = 0", 0), ("kind = 'begun' AND number = 1", 1)]
)
def test_a_chunk_with_a_lost_entry_is_not_rerun(path: Path, removed: str, missing: int) -> None:
    with closing(Journal(path)) as journal:
        journal.begin_or_resume_batch({})
        for number in range(2):
            journal.record_chunk_begin(Chunk(number, first=number, tag="t", count=1))
            journal.record_run(number, RUNS[number])
        with journal._locked_file() as file:
            file.execute(f"DELETE FROM entry WHERE {removed}")
    with pytest.raises(JournalError) as caught:
        Journal(path)
    assert caught.value.message == f"{path} is not a usable journal: the entry of chunk {missing} is missing"
    assert (
        caught.value.hint
        == "remove the file to run the batch from its beginning, including inputs that have already run"
    )


def test_the_batch_entry_is_not_recreated(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.record_chunk_begin(Chunk(0, first=0, tag="t", count=1))
        with pytest.raises(JournalError, match="the entry of the batch is missing"):
            journal.begin_or_resume_batch({})


def test_only_one_batch_at_a_time_uses_a_journal(path: Path) -> None:
    with closing(Journal(path)), pytest.raises(JournalError) as caught:
        Journal(path)
    assert caught.value.message == f"the journal {path} is in use by another batch"
    Journal(path).close()


def test_a_journal_that_cannot_be_opened_or_written(path: Path) -> None:
    with pytest.raises(JournalError, match=f"^the journal {path.parent} cannot be opened: "):
        Journal(path.parent)
    journal = Journal(path)
    journal.close()
    with pytest.raises(JournalError, match=f"^the journal {path} cannot be written: ") as caught:
        journal.record_batch_end()
    assert caught.value.hint == "to resume the batch after its last entry, start it again with this journal"
