"""The version, written by `make bump`.

Reading it from the installed package's metadata would take longer than starting Python.
"""

VERSION = "0.1.0"
