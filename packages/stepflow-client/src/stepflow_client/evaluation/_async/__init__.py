"""The asynchronous `evaluate`. `make generate` generates the synchronous version from this package."""
