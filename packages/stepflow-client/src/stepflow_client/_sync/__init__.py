# Written from _async/__init__.py by `make generate`. Change that file instead.

"""The synchronous client, written from the asynchronous one."""
