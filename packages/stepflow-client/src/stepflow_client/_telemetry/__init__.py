"""OpenTelemetry support, and recording runs in the history."""
