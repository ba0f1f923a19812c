"""OpenTelemetry, and the record of runs in the history."""
