"""Request slots of an event loop are handed out in order, and none is lost when a waiting call fails."""

from __future__ import annotations

import asyncio

import pytest
from stepflow_client._http.async_socket import AsyncRequestSlots
from stepflow_client._http.http1_format import PoolTimeout


async def test_a_free_slot_goes_to_the_longest_waiting_call() -> None:
    slots, order = AsyncRequestSlots(1), []
    held = slots.try_take()
    assert held is not None
    assert slots.try_take() is None

    async def wait(number: int) -> None:
        slot = await slots.wait_and_take(10)
        order.append(number)
        slots.release(slot)

    waiting = [asyncio.ensure_future(wait(number)) for number in range(3)]
    await asyncio.sleep(0)
    slots.release(held)
    # The slot is reserved for the first waiter, even before it runs.
    assert slots.try_take() is None
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2]
    assert slots.try_take() is not None


async def test_a_wait_that_times_out_or_is_cancelled_takes_no_slot() -> None:
    slots = AsyncRequestSlots(1)
    held = slots.try_take()
    with pytest.raises(PoolTimeout, match=r"no connection was free within 0\.01 s"):
        await slots.wait_and_take(0.01)
    waiting = asyncio.ensure_future(slots.wait_and_take(10))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    slots.release(held)
    assert slots.try_take() is not None


async def test_a_call_cancelled_while_it_gets_a_slot_returns_it() -> None:
    slots = AsyncRequestSlots(1)
    held = slots.try_take()
    waiting = asyncio.ensure_future(slots.wait_and_take(10))
    await asyncio.sleep(0)
    slots.release(held)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert slots.try_take() is not None


async def test_slots_without_a_limit_are_always_free() -> None:
    slots = AsyncRequestSlots(None)
    assert all(slots.try_take() for _ in range(1_000))


def test_each_event_loop_has_its_own_slots() -> None:
    slots = AsyncRequestSlots(1)

    async def take() -> bool:
        return slots.try_take() is not None

    assert [asyncio.run(take()) for _ in range(3)] == [True, True, True]
