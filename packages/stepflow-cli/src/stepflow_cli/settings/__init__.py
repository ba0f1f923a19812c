"""Chooses the server for a command, based on profiles, the configuration file and the environment."""
