# Written from _async/transport/__init__.py by `make generate`. Change that file instead.

"""The client's transports. Each one sends a request and returns its response."""
