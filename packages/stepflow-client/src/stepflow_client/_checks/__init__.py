"""The offline checks of flows: rules by subject, and the types of steps, from the schemas of components and flows."""
