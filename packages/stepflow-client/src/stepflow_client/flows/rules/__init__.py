"""The rules of the offline checks, by what they look at."""
