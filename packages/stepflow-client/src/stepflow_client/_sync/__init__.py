# Written from _async/__init__.py by `make generate`. Change that file instead.

"""The synchronous client, generated from the asynchronous one."""
