"""The rules of the offline checks, by subject."""
