"""The embedded server's process, supervision and configuration."""
