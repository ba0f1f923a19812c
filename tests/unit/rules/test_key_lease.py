"""The lock of idempotency keys in a simulation: a schedule makes up stores, delays and crashes.

Times are in round trips of an average caller.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any, NamedTuple

import pytest
from stepflow_client._rules import key_lease
from stepflow_client._rules.key_lease import (
    CompareCall,
    CreateRun,
    FindRecord,
    KeyLock,
    KeyRun,
    Pause,
    PublishedCall,
    ReadMark,
    RecordRun,
    SearchRuns,
    Step,
    Steps,
    StoreMark as Put,
)
from stepflow_client.errors import AmbiguousRunError, InvalidRequestError, ServerConnectionError, StepflowClientError

SLOW_SENDS, SLOWDOWN = 0.03, 25
"""The share of requests that reach the server late, and the factor by which they are slower."""
KINDS = [
    "Put claim",
    "ReadMark taken",
    "Put taken",
    "ReadMark claim",
    "Put call",
    "ReadMark call",
    "CreateRun",
    "FindRecord",
    "RecordRun",
]


@pytest.fixture(autouse=True)
def no_waiting() -> None:
    """Override the fixture of all unit tests: the protocol's random pauses take only simulated time."""


Delays = Callable[["Caller", str], tuple[float, float]]
"""Returns the travel times of a request of some kind and of its response."""


class Run(NamedTuple):
    run_id: int


class World:
    """A server with one key, and the callers that use it.

    Args:
        is_sticky: Whether the first name of a blob is kept, not the last one.
        floor: The shortest lease.
        lock: The protocol.
    """

    def __init__(self, *, is_sticky: bool, floor: float, lock: type[KeyLock] = KeyLock) -> None:
        self.is_sticky, self.floor, self.lock = is_sticky, floor, lock
        self.now = 0.0
        self.marks: dict[Any, str] = {}
        self.runs: list[KeyRun] = []
        self.recorded: KeyRun | None = None
        self.callers: list[Caller] = []
        self.is_outlasted = False
        """Whether a creation took longer than its lease, from the check until the server created the run."""
        self.failures: list[StepflowClientError | None] = []
        """What the next creations return or raise instead of a run."""
        self.repeats = random.Random(0)
        self.repeated = 0.0
        """The share of the marks that are stored twice, because the first response was lost."""
        self.held = 0.0
        """The total time for which the schedule holds requests or responses."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))

    def go(self, limit: float) -> None:
        """Run the callers until all have ended or the time limit is reached."""
        while self._events and self._events[0][0] < limit:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def execute(self, caller: Caller, step: Step) -> Any:
        """Execute a request of a caller, and return the result."""
        match step:
            case ReadMark(mark):
                caller.checked = self.now
                return self.marks.get(mark)
            case Put(mark, name):
                self.marks[mark] = self.marks.get(mark, name) if self.is_sticky else name
                if mark[0] == "call":
                    caller.lease = KeyLock._compute_lease(caller.lock)
            case FindRecord():
                return self.recorded
            case RecordRun(run):
                self.recorded = self.recorded or run if self.is_sticky else run
            case SearchRuns():
                return list(self.runs)
            case CompareCall(call):
                return call.digest == caller.digest
            case CreateRun() if self.failures:
                return self.failures.pop(0)
            case CreateRun():
                self.is_outlasted |= self.now - caller.checked > caller.lease
                self.runs.append(KeyRun(Run(len(self.runs)), caller.digest))
                return self.runs[-1]
        return None


class Caller:
    """A simulated caller.

    Args:
        world: The world.
        start: When it begins.
        delays: How long its requests take.
        death: The number of the request at which it crashes, and whether the server still executes that request.
        digest: The digest of its arguments.
        sights: What its process has seen so far.
    """

    def __init__(
        self,
        world: World,
        start: float,
        delays: Delays,
        death: tuple[int, bool] | None = None,
        digest: str = "same",
        sights: key_lease.FirstSeen | None = None,
    ) -> None:
        self.world, self.start, self._delays, self._death = world, start, delays, death
        self.number = len(world.callers)
        self.digest = digest
        self.lease = 0.0
        """The lease that the call should have published."""
        self.checked = 0.0
        """When its last read was executed."""
        self.took: float | None = None
        """How long the call took; None if it has not ended."""
        self.error: StepflowClientError | None = None
        self.outcome = key_lease.KeyOutcome(KeyRun(Run(-1), ""))
        self.requests: Counter[str] = Counter()
        self.is_dead = False
        self.lock = world.lock(
            PublishedCall("flow", digest), {} if sights is None else sights, world.floor, lambda: world.now, lambda: 0.0
        )
        self._steps: Steps[Any] = self.lock.obtain_run(has_looked=bool(self.number % 2))
        world.callers.append(self)
        world.after(start, lambda: self._resume(None))

    def _resume(self, result: Any) -> None:
        if self.is_dead:
            return
        try:
            step = self._steps.throw(result) if isinstance(result, Exception) else self._steps.send(result)
        except StopIteration as end:
            self.took, self.outcome = self.world.now - self.start, end.value
            return
        except StepflowClientError as error:
            self.error = error
            return
        if isinstance(step, Pause):
            self.world.after(step.seconds, lambda: self._resume(None))
            return
        kind = type(step).__name__
        kind = {"StoreMark": "Put"}.get(kind, kind) + (f" {step.mark[0]}" if isinstance(step, ReadMark | Put) else "")
        self.requests[kind] += 1
        self.is_dead = self._death is not None and self._death[0] == self.requests.total()
        there, back = self._delays(self, kind)
        if isinstance(step, Put) and self.world.repeats.random() < self.world.repeated:
            self.world.after(there / 2, lambda: self.world.execute(self, step))
        if not self.is_dead or (self._death and self._death[1]):
            self.world.after(there, lambda: self._arrived(step, back))

    def _arrived(self, step: Step, back: float) -> None:
        result = self.world.execute(self, step)
        if not self.is_dead:
            self.world.after(back, lambda: self._resume(result))


def even(rng: random.Random) -> Delays:
    """Return delays around half a round trip in each direction."""
    return lambda caller, kind: (rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.75))


def heavy(rng: random.Random) -> Delays:
    """Return delays, a few of which are much longer."""
    slow = lambda: SLOWDOWN if rng.random() < SLOW_SENDS else 1  # noqa: E731
    return lambda caller, kind: (rng.uniform(0.25, 0.75) * slow(), rng.uniform(0.25, 0.75))


def speeds(rng: random.Random) -> Delays:
    """Return delays that depend on the caller: some are faster than others."""
    factors = [2 ** rng.uniform(-3, 0) for _ in range(12)]
    delays = heavy(rng)

    def scaled(caller: Caller, kind: str) -> tuple[float, float]:
        there, back = delays(caller, kind)
        return there * factors[caller.number], back * factors[caller.number]

    return scaled


def constant(rng: random.Random) -> Delays:
    """Return delays that depend only on the kind of request, so callers stay in step."""
    by_kind = {
        kind: (rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95)) for kind in [*KINDS, "ReadMark gone", "Put gone"]
    }
    return lambda caller, kind: by_kind.get(kind, (0.5, 0.5))


def held(rng: random.Random, delays: Delays, world: World, max_hold: float, *, is_creation: bool) -> Delays:
    """Return delays that hold one or two requests of random kinds, or their responses, for a limited time."""
    holds = {}
    for number in range(rng.randint(1, 2)):
        kind = "CreateRun" if is_creation and not number else rng.choice(KINDS)
        chosen = (rng.randrange(3), kind, 1 if kind == "CreateRun" else rng.randint(1, 3))
        holds[chosen] = rng.choice([0, 1]), rng.uniform(0, max_hold)
        world.held += holds[chosen][1]

    def hold(caller: Caller, kind: str) -> tuple[float, float]:
        there, back = delays(caller, kind)
        is_response, seconds = holds.get((caller.number, kind, caller.requests[kind]), (0, 0.0))
        return (there, back + seconds) if is_response else (there + seconds, back)

    return hold


def run_schedule(seed: int, lock: type[KeyLock] = KeyLock, *, beyond: bool = False) -> World:
    """Run a schedule and return its world.

    Args:
        seed: The number of the schedule.
        lock: The protocol.
        beyond: Whether creations take longer than their leases.
    """
    rng = random.Random(seed)
    random.seed(seed)
    world = World(is_sticky=bool(seed % 2), floor=rng.choice([0.0, 40.0, 250.0]), lock=lock)
    world.repeated = rng.choice([0.0, 0.0, 0.05])
    delays = rng.choice([even, heavy, heavy, speeds, constant])(rng)
    lease = max(world.floor, 30.0)
    if beyond or rng.random() < 0.4:
        delays = held(rng, delays, world, 4 * lease if beyond else 0.9 * lease, is_creation=beyond)
    callers, spread = rng.choice([2, 2, 3, 4, 6, 12]), rng.choice([0.0, 4.0, 4.0, 2 * lease])
    step = rng.choice([0.0, 0.5, 1.0, 1.5, 2.0])
    deaths = {rng.randrange(callers): (rng.randint(1, 20), rng.random() < 0.5) for _ in range(rng.choice([0, 0, 1, 3]))}
    has_others = rng.random() < 0.2
    for number in range(callers):
        start = number * step if delays.__qualname__.startswith("constant") else rng.uniform(0, spread)
        Caller(world, start, delays, deaths.get(number), "other" if has_others and number % 2 else "same")
    world.go(10_000)
    return world


def find_violation(world: World) -> str:
    """Return what is wrong with the world's runs, or an empty string."""
    ended = [caller for caller in world.callers if caller.took is not None]
    if len(world.runs) > 1 and not world.is_outlasted:
        return "two runs"
    digests = {call.digest for name in world.marks.values() if (call := PublishedCall.parse(name))}
    for caller in ended:
        if caller.outcome.run.run is None and digests != {caller.digest}:
            continue  # The call is rejected: the key belongs to other arguments.
        if caller.outcome.run != world.runs[0]:
            return "callers return different runs"
    if any(caller.took is None and not caller.is_dead for caller in world.callers):
        return "a call does not end"
    return ""


def is_late(caller: Caller) -> bool:
    """Return whether a call took longer than the longest lease and 200 round trips."""
    lease = max([caller.world.floor, 30.0, *(each.lease for each in caller.world.callers)])
    return caller.took is not None and caller.took > lease + 200 + caller.world.held


@pytest.mark.parametrize("seeds", [range(800), pytest.param(range(800, 7_000), marks=pytest.mark.exhaustive)], ids=str)
def test_a_key_has_one_run(seeds: range) -> None:
    late = calls = outlasted = 0
    for seed in seeds:
        world = run_schedule(seed)
        assert not (wrong := find_violation(world)), (seed, wrong)
        outlasted += world.is_outlasted
        calls += sum(caller.took is not None for caller in world.callers)
        late += sum(map(is_late, world.callers))
    print(len(seeds), "schedules", calls, "calls", late, "late", outlasted, "outlasted")
    assert late <= calls / 1_000
    assert outlasted <= len(seeds) / 100


@pytest.mark.parametrize("seeds", [range(400), pytest.param(range(400, 3_000), marks=pytest.mark.exhaustive)], ids=str)
def test_beyond_the_lease_all_callers_return_the_older_run(seeds: range) -> None:
    worlds = [run_schedule(seed, beyond=True) for seed in seeds]
    assert not [(seed, wrong) for seed, world in zip(seeds, worlds, strict=True) if (wrong := find_violation(world))]
    pairs = [world for world in worlds if len(world.runs) > 1]
    print(len(pairs), "doubles")
    assert pairs
    for world in pairs:
        assert any(caller.outcome.others or caller.is_dead for caller in world.callers)


class NoCheck(KeyLock):
    def _is_turn_lost(self, turn: int) -> Steps[bool]:
        return False
        yield


class NoLease(KeyLock):
    def _compute_lease(self) -> float:
        return 0.0


class NoJitter(KeyLock):
    def _compute_turn_pause(self) -> float:
        return key_lease._SPREAD / 2 * self.round_trip


class NoSearch(KeyLock):
    def _find_runs_of_published_calls(self) -> Steps[list[KeyRun]]:
        return []
        yield


class ClaimWithoutLook(KeyLock):
    def _is_turn_taken(self, turn: int) -> Steps[bool]:
        yield from super()._is_turn_taken(turn)
        return False


@pytest.mark.parametrize("mutant", KeyLock.__subclasses__(), ids=lambda mutant: mutant.__name__)
def test_a_weaker_protocol_is_detected(mutant: type[KeyLock]) -> None:
    violation = next(
        ((seed, wrong) for seed in range(5_000) if (wrong := find_violation(run_schedule(seed, mutant)))), None
    )
    print(mutant.__name__, violation)
    assert violation is not None


def run_alone(failures: list[StepflowClientError | None], *, is_sticky: bool = True) -> World:
    """Return the world after a single call whose first creations fail."""
    world = World(is_sticky=is_sticky, floor=250.0)
    world.failures = failures
    Caller(world, 0.0, steady)
    world.go(1_000)
    return world


def steady(caller: Caller, kind: str) -> tuple[float, float]:
    return 0.5, 0.5


def list_mark_kinds(world: World) -> set[str]:
    return {str(mark[0]) for mark in world.marks}


def test_a_caller_without_rivals_needs_eight_requests_and_no_pause() -> None:
    for is_sticky in (False, True):
        (caller,) = run_alone([], is_sticky=is_sticky).callers
        assert (caller.requests.total(), caller.took, caller.lock.obstacle) == (8, 8.0, "")


def test_a_creation_that_certainly_failed_frees_the_key_for_other_arguments() -> None:
    world = run_alone([InvalidRequestError("no", status_code=400)])
    assert isinstance(world.callers[0].error, InvalidRequestError)
    assert "gone" in list_mark_kinds(world)
    later = Caller(world, 0.0, steady, digest="other")
    world.go(2_000)
    assert (later.outcome.run, later.outcome.was_recorded) == (world.runs[0], False)
    assert later.took is not None
    assert later.took < 40


@pytest.mark.parametrize("failure", [AmbiguousRunError("which?"), ServerConnectionError("broken")])
def test_a_creation_that_may_have_arrived_keeps_the_key_for_its_lease(failure: StepflowClientError) -> None:
    world = run_alone([failure])
    assert "gone" not in list_mark_kinds(world)
    same, other = Caller(world, 0.0, steady), Caller(world, 0.0, steady, digest="other")
    world.go(2_000)
    assert same.took is not None
    assert same.took > 250
    # The call with other arguments does not wait for the lease.
    assert other.outcome.run.run is None
    assert other.took is not None
    assert other.took < 150


def test_each_creation_is_sent_directly_after_a_check() -> None:
    (caller,) = run_alone([None, None]).callers
    assert (caller.requests["CreateRun"], caller.requests["ReadMark taken"], caller.took) == (3, 4, 12.0)


@pytest.mark.parametrize(
    ("floor", "trip", "slow", "lease"), [(250.0, 1.0, 1.0, 250.0), (1.0, 2.0, 2.0, 60.0), (1.0, 1.0, 17.0, 150.0)]
)
def test_the_published_lease_is_thirty_mean_round_trips(floor: float, trip: float, slow: float, lease: float) -> None:
    """A single slow round trip among the last four counts in full."""
    world = World(is_sticky=True, floor=floor)
    Caller(world, 0.0, lambda caller, kind: (0.0, slow if kind == "ReadMark claim" else trip))
    world.go(1_000)
    published = PublishedCall.parse(world.marks["call", 0])
    assert published is not None
    assert (published.flow_id, published.digest, published.lease) == ("flow", "same", lease)
    assert published.owner == world.marks["claim", 0], "other callers check whether the owner has given up"


def test_a_caller_takes_over_after_a_third_of_the_lease_without_a_sign_of_life() -> None:
    world = World(is_sticky=True, floor=250.0)
    times: dict[str, float] = {}

    def delays(caller: Caller, kind: str) -> tuple[float, float]:
        if caller is later:
            times[kind] = world.now
        return 0.5, 0.5

    owner, later = Caller(world, 0.0, delays, death=(6, False)), Caller(world, 2.0, delays)
    world.go(30)
    assert owner.is_dead
    seen = times["ReadMark call"] + 1.0
    world.go(1_000)
    assert later.requests["Put claim"] == 2
    assert seen + 250 / 3 <= times["Put claim"] < seen + 250 / 3 + 20
    assert later.outcome.run == world.runs[0]


@pytest.mark.parametrize(("response", "checks"), [(120.0, 1), (130.0, 2)])
def test_a_check_whose_response_took_half_the_lease_is_repeated(response: float, checks: int) -> None:
    """Otherwise, the creation might be sent when the lease is almost over."""

    def delays(caller: Caller, kind: str) -> tuple[float, float]:
        is_check = kind == "ReadMark taken" and caller.requests["Put call"] and caller.requests[kind] == 2
        return 0.5, response if is_check else 0.5

    world = World(is_sticky=True, floor=250.0)
    caller = Caller(world, 0.0, delays)
    world.go(1_000)
    assert (caller.requests["CreateRun"], caller.requests["ReadMark taken"]) == (1, 1 + checks)


def test_a_caller_that_lost_its_turn_polls_with_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow_client._rules.retries.random.uniform", lambda low, high: high)
    world = World(is_sticky=True, floor=250.0)
    looks: list[float] = []

    def delays(caller: Caller, kind: str) -> tuple[float, float]:
        if caller is later and kind == "FindRecord":
            looks.append(world.now)
        return (60.0 if kind == "CreateRun" else 0.5), 0.5

    owner, later = Caller(world, 0.0, delays), Caller(world, 2.0, delays)
    world.go(1_000)
    assert later.outcome.run == owner.outcome.run == world.runs[0]
    assert later.lock.obstacle == "another call is creating its run"
    # The caller sends two requests, waits for three round trips, and finds the owner with two more requests.
    assert looks[:2] == [7.0, 11.0]
    pauses = [end - start - 1.0 for start, end in pairwise(looks[1:])]
    assert pauses == [1.5, 2.25, 3.375, 5.0625, 7.59375, *[8.0] * (len(pauses) - 5)]
    assert len(pauses) >= 7


def test_consecutive_calls_of_one_process_share_the_wait_for_a_lease() -> None:
    """Each call has less time than the lease, and continues where the previous call stopped."""
    for sights, max_calls in (({}, 8), (None, 100)):
        world = run_alone([AmbiguousRunError("which?")])
        calls = 0
        while not world.runs and calls < 100:
            calls += 1
            caller = Caller(world, 0.0, steady, sights=sights)
            world.go(world.now + 60)
            caller.is_dead = True
        assert calls <= max_calls
        assert bool(world.runs) is (sights is not None)


def test_the_run_of_a_crashed_call_is_found() -> None:
    """The call crashed after sending the creation; a call with other arguments returns its run at once."""
    world = World(is_sticky=True, floor=250.0)
    Caller(world, 0.0, steady, death=(7, True))
    world.go(100)
    other = Caller(world, 0.0, steady, digest="other")
    world.go(2_000)
    assert other.outcome.run == world.runs[0]
    assert other.took is not None
    assert other.took < 150


def test_looking_up_a_key_finds_the_run_of_a_crashed_call() -> None:
    """The run was not recorded, so it is searched for among the runs of the published calls."""
    world = World(is_sticky=True, floor=250.0)
    assert look(world) is None
    dead = Caller(world, 0.0, steady, death=(7, True))
    world.go(100)
    assert (dead.is_dead, world.recorded) == (True, None)
    assert look(world) == world.runs[0]
    world.recorded = KeyRun(Run(9), "same")
    assert look(world) == world.recorded


def look(world: World) -> KeyRun | None:
    """Look up the key's run without creating one."""
    caller = Caller(world, 10_000.0, steady)
    steps, result = caller.lock.find_run(), None
    try:
        while True:
            result = world.execute(caller, steps.send(result))
    except StopIteration as end:
        run: KeyRun | None = end.value
        return run


def test_a_call_published_late_that_crashes_keeps_the_key_from_other_arguments() -> None:
    """It is published after another caller stopped waiting for it, but before that caller creates a run."""
    held = {("same", "Put call", 1): 50.0, ("other", "Put claim", 2): 100.0}

    def delays(caller: Caller, kind: str) -> tuple[float, float]:
        return held.get((caller.digest, kind, caller.requests[kind]), 0.5), 0.5

    world = World(is_sticky=True, floor=250.0)
    Caller(world, 0.0, delays, death=(5, True))
    other = Caller(world, 2.0, delays, digest="other")
    world.go(2_000)
    assert (other.outcome.run, world.runs) == (KeyRun(None, "same"), [])
    assert other.requests["Put claim"] == 2
