"""Read the flows, inputs, values and files specified on the command line."""
