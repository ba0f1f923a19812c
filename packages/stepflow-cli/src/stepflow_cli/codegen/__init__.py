"""Generate Python code from flow schemas."""
