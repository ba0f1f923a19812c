"""The asynchronous `evaluate`. The synchronous one is written from this package by `make generate`."""
