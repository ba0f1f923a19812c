"""Shows the client's values in notebooks, terminals and data frames."""
