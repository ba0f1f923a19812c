# Written from _async/transport/__init__.py by `make generate`. Change that file instead.

"""The transports of a client. Each sends a request and returns its response."""
