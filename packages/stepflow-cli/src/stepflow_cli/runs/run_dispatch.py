"""Implements `run`, `submit` and `batch`, which run a flow and print the result, or start a run and print its ID."""

from __future__ import annotations

from ..errors import require_extra
from ..output.record_views import Column, View
from ..server.connect import connect
from .job_from_options import read_job_from_options
from .run_options import RunOptions
from .single_run import adding_run_id, run_job, start_job, start_job_and_serve_page

_RUN_ID_VIEW = View(columns=(Column("run_id", kind="id"),))


def execute_run_command(options: RunOptions) -> None:
    """Run a flow with the command's options.

    Raises:
        Problem: If the options conflict, or if the run fails.
    """
    if options.ui:
        from ..ui.serving import UI_PACKAGES

        require_extra("--ui", "ui", *UI_PACKAGES)
    server = options.server
    if options.detach:
        server = server._replace(default="server", may_stop_on_exit=False)
    job, batch, cache = read_job_from_options(options), None, None
    if options.inputs is not None and not (options.detach or options.dry_run):
        from .batch_run import BatchRun

        batch = BatchRun(job)
    elif options.caching.is_on:
        from .caching import open_result_cache

        cache = open_result_cache(options.caching, server, options.flow)
        if not options.dry_run and cache.print_cached_result(job):
            return
    with connect(server, flow=options.flow) as target:
        if options.dry_run:
            from .dry_run import print_dry_run

            print_dry_run(target, job, cache)
        elif batch is not None:
            batch.run(target)
        elif options.detach:
            run_id = start_job(target, job).run_id
            with adding_run_id(target, run_id):
                options.output.print_record({"run_id": run_id}, _RUN_ID_VIEW, default="name")
            job.note_unread_input_fields()
        elif options.ui:
            start_job_and_serve_page(target, job)
        else:
            run_job(target, job, cache)
