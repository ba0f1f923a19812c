"""Request handlers for the pages."""
