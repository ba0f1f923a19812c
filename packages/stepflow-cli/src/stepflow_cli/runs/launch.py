"""What `run` and `submit` do: run a job and print its result, or print its id and leave it to the server."""

from __future__ import annotations

import sys
from threading import Thread
from typing import TYPE_CHECKING

from ..errors import check_extra, usage
from ..output.view import Column, Output, View
from ..records.results import print_result, print_results
from ..server.connect import Target, connect
from ..settings.server_choice import ServerOptions
from .accounts import hint_of_batch
from .execute import naming, prepare, print_cached, run_job, start
from .job import Caching, Job, JobOptions, Launch
from .wait import Wait, hinting_return

if TYPE_CHECKING:
    from concurrent.futures import Future

    from .caching import JobCache
    from .stream import Stream

_RUN = View(columns=(Column("run_id", kind="id"),))


def launch(asked: Launch) -> None:
    """Run what the command line asks for.

    Raises:
        Problem: If options contradict each other, or not everything succeeded.
    """
    given, server, detach, wait, output, caching, _, pages = asked
    stream = None
    given.retry.check(given, detach=detach)
    if pages:
        _check_pages(given, detach=detach, is_cached=caching.is_on)
    if detach:
        server = _detached(given, server, output, caching)
    elif given.is_batch:
        from .stream import stream_of

        stream = stream_of(given, output, wait)
    leaves = "--detach" if detach else "--ui" if pages else None
    given.reuse.check(given, is_cached=caching.is_on, streams=stream is not None, leaves=leaves)
    job = prepare(given, is_stream=stream is not None)
    caching.check(job)
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
        else:
            _run(target, job, stream, wait, output, cache)


def _check_pages(given: JobOptions, *, detach: bool, is_cached: bool) -> None:
    """Check that the page of one new run can be served."""
    from ..ui.serving import EXTRA

    others = {
        "--detach": detach,
        "--dry-run": given.dry_run,
        "--cache": is_cached,
        "--retry": bool(given.retry.options),
        "the options of a batch that streams": any(given.streaming.values()),
    }
    for name, is_given in others.items():
        if is_given:
            raise usage(f"--ui and {name} exclude each other: it opens the page of one run")
    check_extra("--ui", "ui", *EXTRA)


def _detached(given: JobOptions, server: ServerOptions, output: Output, caching: Caching) -> ServerOptions:
    """Check the options of a detached run, and return those of its server, which is no embedded one by default."""
    if any(given.streaming.values()):
        raise usage("--detach starts one run of all inputs: it has no use for the options of a batch that streams")
    if caching.is_on:
        raise usage("--detach and --cache exclude each other: a result is kept by the command that waits for it")
    if server.local or server.config is not None:
        raise usage("--detach leaves no run behind on an embedded server, which ends with the command")
    return server._replace(default="server", may_end=False)


def _start(target: Target, job: Job, output: Output) -> None:
    run_id = start(target, job)
    with naming(target, run_id):
        output.record({"run_id": run_id}, _RUN, default="name")


def _serve(target: Target, job: Job, wait: Wait, output: Output) -> None:
    """Start the run, serve its page until Ctrl-C, and print the result when the run ends."""
    from concurrent.futures import Future

    from ..ui.serving import Pages, serve_pages

    run_id = start(target, job)
    with naming(target, run_id):
        printed: Future[None] = Future()
        # A thread that does not keep the command from ending.
        Thread(target=_print_later, args=(printed, target, job, run_id, output), daemon=True).start()
        serve_pages(target, Pages(), run_id)
        with hinting_return(target, run_id, wait):
            if not printed.done() and not target.client.get_run(run_id).is_finished:
                raise KeyboardInterrupt
        printed.result()


def _print_later(printed: Future[None], target: Target, job: Job, run_id: str, output: Output) -> None:
    """Print the result as soon as the run ends."""
    try:
        results = target.client.get_results(run_id)
        if job.batch is None:
            print_result(results[0], output)
        else:
            print_results([run_id], results, output, hint_of_batch(job, results))
        sys.stdout.flush()
    except BaseException as error:
        # The exit code tells it.
        printed.set_exception(error)
    else:
        printed.set_result(None)


def _run(target: Target, job: Job, stream: Stream | None, wait: Wait, output: Output, cache: JobCache | None) -> None:
    if stream is None:
        run_job(target, job, wait, output, cache)
        return
    from .stream import run_stream

    run_stream(target, job, stream, wait)
