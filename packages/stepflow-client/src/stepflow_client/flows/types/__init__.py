"""Static types of flows: the input and output types of steps, from the schemas of components and of the flow."""
