"""The embedded server: its process, its supervision, its configuration."""
