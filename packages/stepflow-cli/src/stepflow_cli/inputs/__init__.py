"""Read the flows, inputs, values and files named on the command line."""
