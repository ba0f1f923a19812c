"""Runs, events, flows, results and diagnostics as printed records."""
