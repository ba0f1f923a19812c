"""Options, execution and output of `stepflow eval`."""
