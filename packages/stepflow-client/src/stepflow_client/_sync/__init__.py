# Written from _async/__init__.py by `make generate`. Change that file instead.

"""The synchronous client. `make generate` generates the synchronous one from this package."""
