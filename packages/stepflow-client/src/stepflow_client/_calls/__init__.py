"""What the calls of both clients take and return: options, arguments, streams, the plan of a rerun."""
