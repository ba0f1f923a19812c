# Written from _async/transport/__init__.py by `make generate`. Change that file instead.

"""The transports of a client: each sends one request and returns its response."""
