"""The asynchronous client. The synchronous one is written from this package by `make generate`."""
