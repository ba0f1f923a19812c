"""Client speed compared with other clients and the theoretical limit: `python -m benchmarks`."""
