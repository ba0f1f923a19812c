# Written from _async/__init__.py by `make generate`. Change that file instead.

"""The asynchronous `evaluate`. `make generate` generates the synchronous version from this package."""
