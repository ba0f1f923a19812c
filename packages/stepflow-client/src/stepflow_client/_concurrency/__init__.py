"""Concurrent calls and long loops, asynchronous and blocking. Both versions are written by hand."""
