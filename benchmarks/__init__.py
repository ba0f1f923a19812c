"""Compare the client's speed with other clients and the theoretical limit: `python -m benchmarks`."""
