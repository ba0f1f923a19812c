"""Executing, awaiting and watching runs."""
