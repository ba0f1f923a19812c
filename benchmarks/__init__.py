"""How fast the client is, against its peers and against the limit: `python -m benchmarks`."""
