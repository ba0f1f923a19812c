"""Read the flows, inputs, values and files that the command line names."""
