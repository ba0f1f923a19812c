"""What is known about a run: why it failed, what a rerun keeps, how two differ; and what was added to its flow."""
