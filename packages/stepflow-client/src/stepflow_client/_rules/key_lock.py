"""A protocol that lets at most one of several callers create a run under an idempotency key. Pure.

Servers have no operation in which only one of several callers can succeed. They store blobs with names, called marks
here. The existence of a mark is a flag that nobody can clear. Its name is a register: file stores keep the first name
of a blob, stores in memory the last one. With these, callers compete in turns:

1. A caller stores its claim, checks that the turn is not taken, takes it, and owns the turn if the claim still has the
   caller's name. However the requests of several callers interleave, a turn has at most one owner.
2. The owner publishes its call, with a lease. Directly before it creates the run, it checks whether the next turn is
   taken. If so, it stores that it is gone and waits like the others. It never gives up its turn by its own clock.
3. The others wait for the run. If no call is published, they compete for the next turn after a random pause, otherwise
   once the owner has been silent for a third of its lease.
4. The owner of a later turn reads the call of the previous owner. If there is none, that owner will see in its check
   that it has lost its turn. If there is one, the previous owner may have sent its creation before: the later owner
   waits for the whole lease, unless the previous one is gone, and then creates a run only if it finds none.

A key belongs to the arguments of the published call: callers with other arguments do not take over from it. So two runs
exist only if a creation takes longer than the lease, from the check until the server has the run. All callers then
return the older run.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Generator, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias, TypeVar
from uuid import uuid4

from ..errors import AmbiguousRunError, StepflowClientError
from .lost_creation import may_have_created
from .retries import Backoff, compute_random_delay

# Minimum length of a lease in round trips; slow ones count in full.
_LEASE = 30.0
# Shortest round trip in seconds on which pauses are based.
_MIN_ROUND_TRIP = 0.001
# Part of its lease for which an owner may be silent before others take the next turn.
_PATIENCE = 1 / 3
# Round trips that a caller waits after losing a turn before it looks for the owner's run.
_OWNER_TIME = 3.0
# Maximum round trips before it competes for the next turn. The first value doubles with each turn that it loses.
_SPREAD, _MAX_SPREAD = 4.0, 64.0
# Maximum time between two lookups of another caller's run: round trips, or seconds if that is longer.
_MAX_POLL, _MAX_SHORT_POLL = 8.0, 0.1

Value = TypeVar("Value")
Mark: TypeAlias = tuple[str | int, ...]
"""A blob of a key: its kind, its turn, and what else distinguishes it."""
FirstSeen: TypeAlias = MutableMapping[tuple[Mark, str], float]
"""The times at which a process first saw marks and their names, by its monotonic clock."""


class ReadMark(NamedTuple):
    """Read the name of a mark: None if it does not exist."""

    mark: Mark


class StoreMark(NamedTuple):
    """Store a mark with a name."""

    mark: Mark
    name: str


class Pause(NamedTuple):
    """Wait."""

    seconds: float


class FindRecord(NamedTuple):
    """Read the recorded run of the key: a `KeyRun`, or None."""


class SearchRuns(NamedTuple):
    """Search for the runs of these calls and of this caller: a list of `KeyRun`."""

    calls: Sequence[PublishedCall]


class CompareCall(NamedTuple):
    """Return whether a call has the arguments of this caller."""

    call: PublishedCall


class CreateRun(NamedTuple):
    """Send one request that creates the run: a `KeyRun`, or None if it created none and may be sent again."""


class RecordRun(NamedTuple):
    """Record the run of the key."""

    run: KeyRun


Step: TypeAlias = ReadMark | StoreMark | Pause | FindRecord | SearchRuns | CompareCall | CreateRun | RecordRun
"""The next action of the caller, who resumes the protocol with its result."""
Steps: TypeAlias = Generator[Step, Any, Value]


class PublishedCall(NamedTuple):
    """The call that the owner of a turn publishes as the name of a mark before it creates the run."""

    flow_id: str
    digest: str
    """The digest of the arguments."""
    owner: str = ""
    lease: float = 0.0
    """Seconds for which nobody else creates a run after the owner has lost its turn."""
    since: float = 0.0
    """A time before the run is created, by the server's clock, in seconds since 1970; 0 if it is unknown."""

    @property
    def name(self) -> str:
        """The name to store."""
        return f"{self.flow_id} {self.digest} {self.owner} {self.lease:.3f} {self.since:.0f}"

    @classmethod
    def read(cls, name: str | None) -> PublishedCall | None:
        """Read the name of the mark; None if there is no mark, or if something else has stored it."""
        try:
            flow_id, digest, owner, lease, since = (name or "").split(" ")
            return cls(flow_id, digest, owner, float(lease), float(since))
        except ValueError:
            return None


class KeyRun(NamedTuple):
    """A run under the key."""

    run: Any
    """The run, with a `run_id`, which begins with the time of the creation. None if the key belongs to other arguments
    whose run is not known."""
    digest: str
    """The digest of the arguments that it was created with."""


class KeyOutcome(NamedTuple):
    """The run of a caller."""

    run: KeyRun
    others: Sequence[KeyRun] = ()
    """Younger runs under the same key: they were created although the key had a run."""
    was_recorded: bool = False
    """Whether the run was recorded before the call."""


class KeyLock:
    """One caller under a key.

    Args:
        call: The caller's flow and arguments.
        sights: The marks that this process has seen, also in calls that ran out of time; leases count from then on.
        floor: The shortest lease in seconds.
        clock: Returns the time of a monotonic clock in seconds.
        server_time: Returns a recent time by the server's clock, as in `PublishedCall.since`.
    """

    def __init__(
        self,
        call: PublishedCall,
        sights: FirstSeen,
        floor: float,
        clock: Callable[[], float],
        server_time: Callable[[], float],
    ) -> None:
        self._call = call
        self._sights = sights
        self._floor = floor
        self._clock = clock
        self._server_time = server_time
        self._times: list[float] = []
        """How long the requests about marks have taken, sorted."""
        self._losses = 0
        """Number of turns that this caller has lost."""
        self._taken: dict[int, float] = {}
        """When turns were first seen to be taken."""
        self._rival: tuple[int, PublishedCall] | None = None
        """The last turn whose owner is known to have published a call, and may have created a run."""
        self._published: list[PublishedCall] = []
        """The calls that are known to be published, except for this caller's."""
        self._settled = 0
        """The first turn whose owner may have created a run, or may still create one."""
        self.obstacle = ""
        """The reason why this caller waits, for messages; empty if it has no rivals."""

    @property
    def requests(self) -> int:
        """Number of requests about marks so far."""
        return len(self._times)

    @property
    def round_trip(self) -> float:
        """The usual time of a request in seconds: the median, so that a single slow request makes no pause longer."""
        return max(self._times[len(self._times) // 2], _MIN_ROUND_TRIP) if self._times else _MIN_ROUND_TRIP

    def find_run(self) -> Steps[KeyRun | None]:
        """Return the run of the key; None if there is none."""
        run: KeyRun | None = yield FindRecord()
        return run or next(iter((yield from self._search_all(0))), None)

    def obtain_run(self, *, has_looked: bool) -> Steps[KeyOutcome]:
        """Return the run of the key, or create it.

        Args:
            has_looked: Whether the caller has already seen that no run is recorded.
        """
        turn = 0
        while True:
            if (yield from self._compete(turn)):
                outcome = yield from self._create(turn)
                if outcome is not None:
                    return outcome
                turn += 1
            elif not has_looked and (run := (yield FindRecord())) is not None:
                return KeyOutcome(run, was_recorded=True)
            has_looked = True
            run = yield from self._wait(turn)
            if run is not None:
                return KeyOutcome(run)
            turn += 1
            self._losses += 1

    def _compete(self, turn: int) -> Steps[bool]:
        """Compete for a turn, and return whether this caller owns it."""
        claim, owner = ("claim", turn), uuid4().hex
        # A claim that overwrites another one often defeats both.
        if turn and (yield from self._read(claim)) is not None:
            return False
        yield from self._store(claim, owner)
        if not (yield from self._is_taken(turn)):
            yield from self._take(turn)
            if (yield from self._read(claim)) == owner:
                self._call = self._call._replace(owner=owner)
                return True
        return False

    def _create(self, turn: int) -> Steps[KeyOutcome | None]:
        """Create a run, unless an earlier owner has done so; None if this caller has lost the turn that it owned."""
        yield from self._find_rival(turn)
        if self._rival is not None:
            yield from self._wait_until(self._lease_end(), *self._rival)
        if self._published:
            run: KeyRun | None = yield FindRecord()
            if run is not None:
                return KeyOutcome(run)
            if runs := (yield from self._search()):
                return (yield from self._record(runs))
            if self._rival is not None and not (yield CompareCall(self._rival[1])):
                return KeyOutcome(KeyRun(None, self._rival[1].digest))
        lease = self._lease()
        self._call = self._call._replace(lease=lease, since=self._server_time())
        gone, may_exist = StoreMark(("gone", turn, self._call.owner), "gone"), False
        created: KeyRun | None = None
        checked = self._clock()
        try:
            yield from self._store(("call", turn), self._call.name)
            while created is None:
                checked = self._clock()
                is_lost = yield from self._is_lost(turn)
                if not is_lost and self._clock() - checked > lease / 2:
                    # The process has paused, or the response was late: the creation must not use up the lease.
                    checked = self._clock()
                    is_lost = yield from self._is_lost(turn)
                if is_lost:
                    if not may_exist:
                        yield gone
                    return None
                try:
                    created = yield CreateRun()
                except StepflowClientError as error:
                    may_exist = may_exist or may_have_created(error) or isinstance(error, AmbiguousRunError)
                    raise
                may_exist = True
        except StepflowClientError:
            if not may_exist:
                with suppress(StepflowClientError):
                    yield gone
            raise
        runs = [created]
        if self._published or self._clock() - checked >= lease:
            # The owner of another turn may have created a run, too, if its creation took longer than its lease.
            with suppress(StepflowClientError):
                recorded: KeyRun | None = yield FindRecord()
                runs = [*(yield from self._search_all(turn + 1)), *([recorded] if recorded else []), created]
                by_id = {run.run.run_id: run for run in runs}
                runs = [by_id[run_id] for run_id in sorted(by_id)]
        return (yield from self._record(runs))

    def _find_rival(self, turn: int) -> Steps[None]:
        """Find the last owner of an earlier turn that may have created a run.

        All later turns are taken. An owner that has published no call by now will see this in its check. One that has
        published a call has made sure before that there is no run of an earlier turn.
        """
        for earlier in range(turn - 1, self._settled - 1, -1):
            call = PublishedCall.read((yield from self._read(("call", earlier))))
            if call is not None:
                self._rival = earlier, call
                self._published.append(call)
                self.obstacle = "a call that may have created its run is silent"
                if not (yield from self._is_gone(earlier, call)):
                    return
                break
        self._rival, self._settled = None, turn

    def _record(self, runs: Sequence[KeyRun]) -> Steps[KeyOutcome]:
        # If the run cannot be recorded, a search finds it.
        with suppress(StepflowClientError):
            yield RecordRun(runs[0])
        return KeyOutcome(runs[0], runs[1:])

    def _wait(self, turn: int) -> Steps[KeyRun | None]:
        """Wait for the run of a turn that this caller does not own; None if it may compete for the next turn."""
        self.obstacle = "other calls compete for it"
        yield Pause(_OWNER_TIME * self.round_trip)
        run: KeyRun | None = yield FindRecord()
        if run is not None:
            return run
        # The only caller that has claimed the turn may have stopped.
        if turn not in self._taken and not (yield from self._is_taken(turn)):
            yield from self._take(turn)
        mark, has_paused = ("call", turn), False
        while (call := PublishedCall.read(name := (yield from self._read(mark)) or "")) is None:
            # An owner may be waiting for the end of the lease of an earlier one.
            if (end := self._lease_end()) > self._clock():
                if (run := (yield from self._wait_until(end))) is not None:
                    return run
            elif has_paused:
                return None
            yield Pause(self._pause())
            has_paused = True
        self._rival = turn, call
        self._published.append(call)
        if (yield from self._is_gone(turn, call)):
            return None
        self.obstacle = "another call is creating its run"
        run = yield from self._wait_until(self._sight(mark, name) + call.lease * _PATIENCE)
        if run is not None or (yield from self._is_gone(turn, call)) or (yield CompareCall(call)):
            return run
        return next(iter((yield from self._search())), KeyRun(None, call.digest))

    def _wait_until(self, end: float, turn: int = 0, call: PublishedCall | None = None) -> Steps[KeyRun | None]:
        """Wait for the run until a time; None if it has not appeared, or if the owner of a turn is gone."""
        step = self.round_trip
        backoff = Backoff(step, max(_MAX_POLL * step, _MAX_SHORT_POLL), 1.5, jitter=True)
        while (left := end - self._clock()) > 0:
            yield Pause(min(backoff.next_delay(), left))
            run: KeyRun | None = yield FindRecord()
            if run is not None:
                return run
            if call is not None and (yield from self._is_gone(turn, call)):
                break
        return None

    def _search_all(self, turn: int) -> Steps[list[KeyRun]]:
        """Return the runs of all calls, also of those that were published in later turns, the oldest first.

        Args:
            turn: The first turn whose call is not known.
        """
        while (yield from self._is_taken(turn)):
            call = PublishedCall.read((yield from self._read(("call", turn))))
            self._published += [] if call is None else [call]
            turn += 1
        return (yield from self._search())

    def _search(self) -> Steps[list[KeyRun]]:
        """Return the runs of the calls that are known, the oldest first."""
        return (yield SearchRuns(self._published)) if self._published else []

    def _lease(self) -> float:
        """Return the lease to publish."""
        return max(self._floor, _LEASE * sum(self._times) / len(self._times))

    def _lease_end(self) -> float:
        """Return until when the owner of the last call may be creating a run; its turn is lost."""
        return 0.0 if self._rival is None else self._taken[self._rival[0] + 1] + self._rival[1].lease

    def _pause(self) -> float:
        """Return the seconds before this caller competes for the next turn: random, so that callers diverge."""
        return compute_random_delay(_SPREAD, _MAX_SPREAD, self._losses + 1) * self.round_trip

    def _is_lost(self, turn: int) -> Steps[bool]:
        """Return whether the owner of a turn must not create a run any more."""
        return (yield from self._is_taken(turn + 1))

    def _is_gone(self, turn: int, call: PublishedCall) -> Steps[bool]:
        """Return whether the owner of a turn will create no run."""
        if (yield from self._read(("gone", turn, call.owner))) is None:
            return False
        self._rival, self._settled = None, max(self._settled, turn + 1)
        return True

    def _is_taken(self, turn: int) -> Steps[bool]:
        mark = ("taken", turn)
        name = yield from self._read(mark)
        if name is not None:
            self._taken.setdefault(turn, self._sight(mark, name))
        return name is not None

    def _take(self, turn: int) -> Steps[None]:
        mark, name = ("taken", turn), uuid4().hex
        yield from self._store(mark, name)
        self._taken.setdefault(turn, self._sight(mark, name))

    def _sight(self, mark: Mark, name: str) -> float:
        """Return when this process first saw a mark with a name."""
        return self._sights.setdefault((mark, name), self._clock())

    def _read(self, mark: Mark) -> Steps[str | None]:
        name: str | None = yield from self._timed(ReadMark(mark))
        return name

    def _store(self, mark: Mark, name: str) -> Steps[None]:
        yield from self._timed(StoreMark(mark, name))

    def _timed(self, step: ReadMark | StoreMark) -> Steps[Any]:
        began = self._clock()
        result = yield step
        insort(self._times, self._clock() - began)
        return result
