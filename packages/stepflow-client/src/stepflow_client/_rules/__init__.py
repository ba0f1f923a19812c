"""Decisions without I/O: which requests are retried, for how long, and what each server release supports."""
