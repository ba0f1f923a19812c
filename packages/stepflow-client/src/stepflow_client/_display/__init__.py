"""What notebooks, terminals and data frames show of the client's values."""
