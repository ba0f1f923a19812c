"""OpenTelemetry support, and the recorder that adds runs to the history."""
