"""What `stepflow test` does: find cases, run them, report and update."""
