"""The speed of the client, compared with other clients and with the limit: `python -m benchmarks`."""
