"""Chooses the server that a command uses, based on profiles, the configuration file and the environment."""
