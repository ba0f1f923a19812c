"""Display of the client's values in notebooks, on terminals and as data frames."""
