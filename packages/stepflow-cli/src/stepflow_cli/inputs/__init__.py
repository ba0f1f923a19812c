"""Reading what a command line names: flows, inputs, values, files."""
