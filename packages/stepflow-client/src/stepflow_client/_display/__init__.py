"""Shows the client's objects in notebooks, terminals and data frames."""
