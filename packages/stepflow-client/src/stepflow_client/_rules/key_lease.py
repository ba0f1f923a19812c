"""A protocol that lets at most one of several callers create a run under an idempotency key. No I/O.

Servers have no operation that succeeds for only one of several callers. But they do store named blobs, called marks
here. A mark serves as a flag that can't be cleared, and its name serves as a register (file stores keep a blob's first
name, in-memory stores its last). That's enough for callers to compete in turns:

1. A caller stores its claim, checks that the turn isn't taken, and takes it. It owns the turn if the claim still has
   the name that it stored. No matter how requests interleave, a turn has at most one owner.
2. The owner publishes its call, with a lease. Right before creating the run, it checks whether the next turn has been
   taken. If so, it records that it has given up and waits like everyone else. It never gives up its turn based on its
   own clock.
3. Everyone else waits for the run. If the owner hasn't published a call, they compete for the next turn after a random
   delay. If it has published one, they compete once the owner has been silent for a third of its lease.
4. The owner of a later turn reads the previous owner's call. If there is none, the previous owner's check will show
   that it has lost its turn. If there is one, the previous owner may already have sent its creation request, so the
   later owner waits for the entire lease (unless the previous owner has given up), then creates a run only if it finds
   none.

A key belongs to the arguments of the published call, and callers with different arguments don't take over from it. As a
result, there can only be two runs if creating one takes longer than the lease, measured from the check until the server
has the run. In that case, all callers return the older run.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Generator, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar
from uuid import uuid4

from ..errors import AmbiguousRunError, StepflowClientError
from .lost_creation import may_have_created_run
from .retries import Backoff, compute_random_delay

# Lease length as a multiple of the mean round-trip time. (With the median, slow round trips wouldn't count in full.)
_LEASE_ROUND_TRIPS = 30.0
# Lower bound, in seconds, for the round-trip time that delays are based on.
_MIN_ROUND_TRIP = 0.001
# How long an owner may be silent before others take the next turn, as a fraction of its lease.
_MAX_QUIET = 1 / 3
# Number of round trips to wait after losing a turn, before looking for the owner's run.
_OWNER_WAIT_ROUND_TRIPS = 3.0
# Maximum delay before competing for the next turn, in round trips. It starts at the first value and doubles with each
# lost turn, up to the second.
_SPREAD, _MAX_SPREAD = 4.0, 64.0
# Maximum time between lookups of another caller's run, in round trips or in seconds (whichever is longer).
_MAX_POLL_ROUND_TRIPS, _MAX_SHORT_POLL = 8.0, 0.1
_NOT_RESPONDING_MESSAGE = "a call that may have created its run is not responding"

Value = TypeVar("Value")
Mark: TypeAlias = tuple[str | int, ...]
"""Identifies one of a key's blobs by its kind, its turn, and any other distinguishing values."""
FirstSeen: TypeAlias = MutableMapping[tuple[Mark, str], float]
"""When a process first saw each mark under each name, by its monotonic clock."""


class ReadMark(NamedTuple):
    """Read a mark's name. The result is None if the mark doesn't exist."""

    mark: Mark


class StoreMark(NamedTuple):
    """Store a mark under a name."""

    mark: Mark
    name: str


class Pause(NamedTuple):
    """Wait for a number of seconds."""

    seconds: float


class FindRecord(NamedTuple):
    """Read the key's recorded run. The result is a `KeyRun` or None."""


class SearchRuns(NamedTuple):
    """Search for the runs of these calls and of this caller. The result is a list of `KeyRun`."""

    calls: Sequence[PublishedCall]


class CompareCall(NamedTuple):
    """Compare a call's arguments with this caller's. The result is True if they are equal."""

    call: PublishedCall


class CreateRun(NamedTuple):
    """Send one request to create the run.

    The result is a `KeyRun`, or None if the protocol should check the turn and send the request again.
    """


class RecordRun(NamedTuple):
    """Record the key's run."""

    run: KeyRun


Step: TypeAlias = ReadMark | StoreMark | Pause | FindRecord | SearchRuns | CompareCall | CreateRun | RecordRun
"""The next action for the caller, which then resumes the protocol with the action's result."""
Steps: TypeAlias = Generator[Step, Any, Value]


class PublishedCall(NamedTuple):
    """The call that a turn's owner publishes (as the name of a mark) before it creates the run."""

    flow_id: str
    digest: str
    """A digest of the arguments."""
    owner: str = ""
    lease: float = 0.0
    """How long, in seconds, other callers wait before creating a run once the owner has lost its turn."""
    since: float = 0.0
    """A time before the run's creation, in seconds since 1970 by the server's clock, or 0 if unknown."""
    has_given_up: bool = False
    """Whether the owner has declared that it didn't create a run. Not part of the name."""

    def __str__(self) -> str:
        """Return the name to store."""
        return f"{self.flow_id} {self.digest} {self.owner} {self.lease:.3f} {self.since:.0f}"

    @classmethod
    def parse(cls, name: str | None) -> PublishedCall | None:
        """Parse a mark's name. Return None if there is no mark, or if it doesn't contain a published call."""
        try:
            flow_id, digest, owner, lease, since = (name or "").split(" ")
            return cls(flow_id, digest, owner, float(lease), float(since))
        except ValueError:
            return None


class KeyRun(NamedTuple):
    """A run that was created under the key."""

    run: Any
    """The run. Its `run_id` begins with the creation time. None if the key belongs to different arguments whose run is
    unknown."""
    digest: str
    """A digest of the arguments that the run was created with."""


class KeyOutcome(NamedTuple):
    """The run returned to a caller."""

    run: KeyRun
    others: Sequence[KeyRun] = ()
    """Any newer runs that were created under the same key even though it already had a run."""
    was_recorded: bool = False
    """Whether the run was recorded before the call."""


@dataclass(eq=False, repr=False)
class KeyLock:
    """One caller competing for a key.

    Args:
        call: The caller's flow and arguments.
        first_seen: The marks that this process has seen so far, including during calls that timed out. A lease starts
            when its mark is first seen.
        min_lease: The minimum lease, in seconds.
        clock: Returns the time of a monotonic clock, in seconds.
        server_time: Returns a recent time by the server's clock, as in `PublishedCall.since`.
    """

    call: PublishedCall
    first_seen: FirstSeen
    min_lease: float
    clock: Callable[[], float]
    server_time: Callable[[], float]
    obstacle: str = field(default="", init=False)
    """Why this caller is waiting, for use in messages. Empty if it has no rivals."""
    _times: list[float] = field(default_factory=list, init=False)
    """The durations of this caller's requests to read or store marks, in seconds, sorted."""
    _losses: int = field(default=0, init=False)
    """The number of turns this caller has lost."""
    _taken: dict[int, float] = field(default_factory=dict, init=False)
    """When each turn was first seen to be taken."""
    _rival: tuple[int, PublishedCall] | None = field(default=None, init=False)
    """The last turn whose owner is known to have published a call and so may have created a run."""
    _published: list[PublishedCall] = field(default_factory=list, init=False)
    """All known published calls, except this caller's."""
    _settled: int = field(default=0, init=False)
    """The first turn whose owner may have created a run, or may still do so."""

    @property
    def mark_request_count(self) -> int:
        """The number of requests sent so far to read or store marks."""
        return len(self._times)

    @property
    def round_trip(self) -> float:
        """The median request time in seconds.

        (If it were the mean, a single slow request would prolong every delay.)
        """
        return max(self._times[len(self._times) // 2], _MIN_ROUND_TRIP) if self._times else _MIN_ROUND_TRIP

    def find_run(self) -> Steps[KeyRun | None]:
        """Return the key's run, or None if it has none."""
        run: KeyRun | None = yield FindRecord()
        return run or next(iter((yield from self._search_all_turns(0))), None)

    def obtain_run(self, *, has_looked: bool) -> Steps[KeyOutcome]:
        """Return the key's run, creating it if necessary.

        Args:
            has_looked: Whether the caller has already checked that no run is recorded.
        """
        turn = 0
        while True:
            if (yield from self._compete_for_turn(turn)):
                outcome = yield from self._create_in_turn(turn)
                if outcome is not None:
                    return outcome
                turn += 1
            elif not has_looked and (run := (yield FindRecord())) is not None:
                return KeyOutcome(run, was_recorded=True)
            has_looked = True
            run = yield from self._wait_for_turn_owner(turn)
            if run is not None:
                return KeyOutcome(run)
            turn += 1
            self._losses += 1

    def _compete_for_turn(self, turn: int) -> Steps[bool]:
        """Compete for a turn and return whether this caller now owns it."""
        claim, owner = ("claim", turn), uuid4().hex
        # Back off if there's already a claim: overwriting it often makes both callers lose.
        if turn and (yield from self._read_or_put_mark(ReadMark(claim))) is not None:
            return False
        yield from self._read_or_put_mark(StoreMark(claim, owner))
        if not (yield from self._is_turn_taken(turn)):
            yield from self._mark_turn_taken(turn)
            if (yield from self._read_or_put_mark(ReadMark(claim))) == owner:
                self.call = self.call._replace(owner=owner)
                return True
        return False

    def _create_in_turn(self, turn: int) -> Steps[KeyOutcome | None]:
        """Create a run unless an earlier owner has. Return None if this caller has lost its turn."""
        yield from self._set_earlier_rival(turn)
        if self._rival is not None:
            yield from self._poll_for_run_until(self._get_lease_end(), self._rival)
        if self._published:
            run: KeyRun | None = yield FindRecord()
            if run is not None:
                return KeyOutcome(run)
            if runs := (yield from self._find_runs_of_published_calls()):
                return (yield from self._record_oldest_run(runs))
            if self._rival is not None and not (yield CompareCall(self._rival[1])):
                return KeyOutcome(KeyRun(None, self._rival[1].digest))
        lease = self._compute_lease()
        self.call = self.call._replace(lease=lease, since=self.server_time())
        gone, may_exist = StoreMark(("gone", turn, self.call.owner), "gone"), False
        created: KeyRun | None = None
        checked = self.clock()
        try:
            yield from self._read_or_put_mark(StoreMark(("call", turn), str(self.call)))
            while created is None:
                checked = self.clock()
                is_lost = yield from self._is_turn_lost(turn)
                if not is_lost and self.clock() - checked > lease / 2:
                    # The process was suspended or the response was slow. Check again to make sure that the creation
                    # still fits within the lease.
                    checked = self.clock()
                    is_lost = yield from self._is_turn_lost(turn)
                if is_lost:
                    if not may_exist:
                        yield gone
                    return None
                try:
                    created = yield CreateRun()
                except StepflowClientError as error:
                    may_exist = may_exist or may_have_created_run(error) or isinstance(error, AmbiguousRunError)
                    raise
                may_exist = True
        except StepflowClientError:
            if not may_exist:
                with suppress(StepflowClientError):
                    yield gone
            raise
        runs = [created]
        if self._published or self.clock() - checked >= lease:
            # Another turn's owner may also have created a run if its creation took longer than its lease.
            with suppress(StepflowClientError):
                recorded: KeyRun | None = yield FindRecord()
                runs = [*(yield from self._search_all_turns(turn + 1)), *([recorded] if recorded else []), created]
                by_id = {run.run.run_id: run for run in runs}
                runs = [by_id[run_id] for run_id in sorted(by_id)]
        return (yield from self._record_oldest_run(runs))

    def _set_earlier_rival(self, turn: int) -> Steps[None]:
        """Among the owners of earlier turns, find the last one that may have created a run.

        All turns after it are taken. Owners that haven't published a call by now will notice this when they check.
        Owners that have published one made sure beforehand that no earlier turn had created a run.
        """
        for earlier in range(turn - 1, self._settled - 1, -1):
            call = PublishedCall.parse((yield from self._read_or_put_mark(ReadMark(("call", earlier)))))
            if call is not None:
                self._rival = earlier, call
                self._published.append(call)
                self.obstacle = _NOT_RESPONDING_MESSAGE
                if not (yield from self._has_owner_given_up(earlier, call)):
                    return
                break
        self._rival, self._settled = None, turn

    def _record_oldest_run(self, runs: Sequence[KeyRun]) -> Steps[KeyOutcome]:
        # If this fails, a search still finds the run.
        with suppress(StepflowClientError):
            yield RecordRun(runs[0])
        return KeyOutcome(runs[0], runs[1:])

    def _wait_for_turn_owner(self, turn: int) -> Steps[KeyRun | None]:
        """Wait for the turn's owner to create its run. Return None if this caller may compete for the next turn."""
        self.obstacle = "other calls compete for it"
        yield Pause(_OWNER_WAIT_ROUND_TRIPS * self.round_trip)
        run: KeyRun | None = yield FindRecord()
        if run is not None:
            return run
        # The only caller that claimed the turn may have died before taking it, so mark it as taken.
        if turn not in self._taken and not (yield from self._is_turn_taken(turn)):
            yield from self._mark_turn_taken(turn)
        mark, has_paused = ("call", turn), False
        while (call := PublishedCall.parse(name := (yield from self._read_or_put_mark(ReadMark(mark))) or "")) is None:
            # Give the owner more time, since it may itself be waiting for an earlier owner's lease to end.
            if (end := self._get_lease_end()) > self.clock():
                self.obstacle = _NOT_RESPONDING_MESSAGE
                if (run := (yield from self._poll_for_run_until(end))) is not None:
                    return run
            elif has_paused:
                return None
            yield Pause(self._compute_turn_pause())
            has_paused = True
        self._rival = turn, call
        self._published.append(call)
        if (yield from self._has_owner_given_up(turn, call)):
            return None
        self.obstacle = "another call is creating its run"
        run = yield from self._poll_for_run_until(self._get_mark_first_seen_time(mark, name) + call.lease * _MAX_QUIET)
        if run is not None or (yield from self._has_owner_given_up(turn, call)) or (yield CompareCall(call)):
            return run
        return next(iter((yield from self._find_runs_of_published_calls())), KeyRun(None, call.digest))

    def _poll_for_run_until(self, end: float, rival: tuple[int, PublishedCall] | None = None) -> Steps[KeyRun | None]:
        """Wait until `end` for the run to appear. Return None if it doesn't, or as soon as the rival gives up."""
        step = self.round_trip
        backoff = Backoff(step, max(_MAX_POLL_ROUND_TRIPS * step, _MAX_SHORT_POLL), 1.5, jitter=True)
        while (left := end - self.clock()) > 0:
            yield Pause(min(backoff.next_delay(), left))
            run: KeyRun | None = yield FindRecord()
            if run is not None:
                return run
            if rival is not None and (yield from self._has_owner_given_up(*rival)):
                break
        return None

    def _search_all_turns(self, turn: int) -> Steps[list[KeyRun]]:
        """Return the runs of all calls, including those published in later turns, oldest first.

        Args:
            turn: The first turn whose call isn't known.
        """
        while (yield from self._is_turn_taken(turn)):
            call = PublishedCall.parse((yield from self._read_or_put_mark(ReadMark(("call", turn)))))
            if call is not None:
                self._published.append(call)
                yield from self._has_owner_given_up(turn, call)
            turn += 1
        return (yield from self._find_runs_of_published_calls())

    def _find_runs_of_published_calls(self) -> Steps[list[KeyRun]]:
        """Return the runs of all known calls, oldest first."""
        return (yield SearchRuns(self._published)) if self._published else []

    def _compute_lease(self) -> float:
        """Return the lease to publish."""
        return max(self.min_lease, _LEASE_ROUND_TRIPS * sum(self._times) / len(self._times))

    def _get_lease_end(self) -> float:
        """Return when the last owner's lease ends, after which it can no longer be creating a run."""
        return 0.0 if self._rival is None else self._taken[self._rival[0] + 1] + self._rival[1].lease

    def _compute_turn_pause(self) -> float:
        """Return a random number of seconds to wait before competing for the next turn, to spread callers out."""
        return compute_random_delay(_SPREAD, _MAX_SPREAD, self._losses + 1) * self.round_trip

    def _is_turn_lost(self, turn: int) -> Steps[bool]:
        """Return whether a turn's owner is no longer allowed to create a run."""
        return (yield from self._is_turn_taken(turn + 1))

    def _has_owner_given_up(self, turn: int, call: PublishedCall) -> Steps[bool]:
        """Return whether a turn's owner has declared that it won't create a run."""
        if (yield from self._read_or_put_mark(ReadMark(("gone", turn, call.owner)))) is None:
            return False
        self._rival, self._settled = None, max(self._settled, turn + 1)
        self._published = [known._replace(has_given_up=True) if known == call else known for known in self._published]
        return True

    def _is_turn_taken(self, turn: int) -> Steps[bool]:
        mark = ("taken", turn)
        name = yield from self._read_or_put_mark(ReadMark(mark))
        if name is not None:
            self._taken.setdefault(turn, self._get_mark_first_seen_time(mark, name))
        return name is not None

    def _mark_turn_taken(self, turn: int) -> Steps[None]:
        mark, name = ("taken", turn), uuid4().hex
        yield from self._read_or_put_mark(StoreMark(mark, name))
        self._taken.setdefault(turn, self._get_mark_first_seen_time(mark, name))

    def _get_mark_first_seen_time(self, mark: Mark, name: str) -> float:
        """Return when this process first saw a mark under this name."""
        return self.first_seen.setdefault((mark, name), self.clock())

    def _read_or_put_mark(self, step: ReadMark | StoreMark) -> Steps[Any]:
        """Read or store a mark, and record how long that took."""
        began = self.clock()
        result = yield step
        insort(self._times, self.clock() - began)
        return result
