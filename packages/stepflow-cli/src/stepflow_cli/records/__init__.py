"""Runs, events, flows, results and diagnostics as they are printed."""
