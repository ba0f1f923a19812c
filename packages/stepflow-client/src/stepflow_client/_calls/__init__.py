"""What the calls of both clients take: options, arguments, the plan of a rerun."""
