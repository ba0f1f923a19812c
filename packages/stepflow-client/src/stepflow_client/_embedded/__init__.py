"""Configures, starts and supervises the embedded server's process."""
