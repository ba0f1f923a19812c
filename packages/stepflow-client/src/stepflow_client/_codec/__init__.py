"""Conversion between Python values and the bytes of requests and responses."""
