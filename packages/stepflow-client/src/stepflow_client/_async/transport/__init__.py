"""The transports of a client: each sends one request and returns its response."""
