"""The transports of a client. Each sends a request and returns its response."""
