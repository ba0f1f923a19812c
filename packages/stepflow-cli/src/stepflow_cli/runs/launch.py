"""What `run`, `submit` and `batch` do: run a job and print its result, or print its id and leave it to the server."""

from __future__ import annotations

import sys
from threading import Thread
from typing import TYPE_CHECKING

from ..errors import check_extra
from ..output.view import Column, Output, View
from ..records.results import print_result
from ..server.connect import Target, connect
from .execute import naming, note_unread_input, prepare, print_cached, run_job, start
from .job import Job, Launch
from .wait import Wait, hinting_return

if TYPE_CHECKING:
    from concurrent.futures import Future

_RUN = View(columns=(Column("run_id", kind="id"),))


def launch(asked: Launch) -> None:
    """Run what the command line asks for.

    Raises:
        Problem: If options contradict each other, or not everything succeeded.
    """
    given, server, detach, wait, output, caching, _, pages = asked
    if pages:
        from ..ui.serving import EXTRA

        check_extra("--ui", "ui", *EXTRA)
    is_batch, sends_all = given.inputs is not None, detach or given.dry_run
    stream = None
    if detach:
        server = server._replace(default="server", may_end=False)
    job = prepare(given, reads_inputs=sends_all)
    if is_batch and not sends_all:
        from .stream import stream_of

        stream = stream_of(given, output)
    cache = None
    if caching.is_on:
        from .caching import open_cache

        cache = open_cache(caching, server, given.flow)
        if not given.dry_run and print_cached(cache, job, output):
            return
    with connect(server, flow=given.flow) as target:
        if given.dry_run:
            from .dry_run import dry_run as print_request

            print_request(target, job, output, given.flow, cache)
        elif detach:
            _start(target, job, output)
        elif pages:
            _serve(target, job, wait, output)
        elif stream is not None:
            from .stream import run_stream

            run_stream(target, job, stream, wait)
        else:
            run_job(target, job, wait, output, cache)


def _start(target: Target, job: Job, output: Output) -> None:
    run_id = start(target, job)
    with naming(target, run_id):
        output.record({"run_id": run_id}, _RUN, default="name")
    note_unread_input(job)


def _serve(target: Target, job: Job, wait: Wait, output: Output) -> None:
    """Start the run, serve its page until Ctrl-C, and print the result when the run ends."""
    from concurrent.futures import Future

    from ..ui.serving import serve_pages

    run_id = start(target, job)
    with naming(target, run_id):
        printed: Future[None] = Future()
        # A thread that does not keep the command from ending.
        Thread(target=_print_later, args=(printed, target, run_id, output), daemon=True).start()
        serve_pages(target, run_id)
        with hinting_return(target, run_id, wait):
            if not printed.done() and not target.client.get_run(run_id).is_finished:
                raise KeyboardInterrupt
        printed.result()


def _print_later(printed: Future[None], target: Target, run_id: str, output: Output) -> None:
    """Print the result as soon as the run ends."""
    try:
        print_result(target.client.get_result(run_id), output)
        sys.stdout.flush()
    except BaseException as error:
        # The exit code tells it.
        printed.set_exception(error)
    else:
        printed.set_result(None)
