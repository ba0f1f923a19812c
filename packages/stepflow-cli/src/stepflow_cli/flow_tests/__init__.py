"""Find, run and update test cases, and report the results (for `stepflow test`)."""
