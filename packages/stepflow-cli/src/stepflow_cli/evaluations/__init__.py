"""What `stepflow eval` reads from its command line, runs, and prints."""
