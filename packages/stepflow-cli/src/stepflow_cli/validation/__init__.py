"""Check flows, both for `stepflow validate` and before each run."""
