"""Printing: formats, tables, messages, live displays."""
