"""Executes, waits for and watches runs."""
