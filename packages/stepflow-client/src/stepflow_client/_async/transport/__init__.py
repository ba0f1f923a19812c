"""The client's transports. Each one sends a request and returns its response."""
