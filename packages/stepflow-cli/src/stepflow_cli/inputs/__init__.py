"""Reading the flows, inputs, values and files that a command line names."""
