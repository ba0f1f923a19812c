"""Static types of flows: what each step takes and gives, by the schemas of components and of the flow."""
