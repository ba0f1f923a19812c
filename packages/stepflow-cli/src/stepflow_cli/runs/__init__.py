"""Executing, waiting for and watching runs."""
