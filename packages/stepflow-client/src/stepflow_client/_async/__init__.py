"""The asynchronous client. `make generate` generates the synchronous one from this package."""
