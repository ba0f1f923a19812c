"""The version, as `make bump` writes it; reading it from the installed package takes longer than Python itself."""

VERSION = "0.1.0"
