"""The options of `stepflow eval`, and the code that runs and prints evaluations."""
