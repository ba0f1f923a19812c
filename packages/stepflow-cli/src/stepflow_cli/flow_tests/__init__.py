"""What `stepflow test` does: find, run and update test cases, and report the results."""
