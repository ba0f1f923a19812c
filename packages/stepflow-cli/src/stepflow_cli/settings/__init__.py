"""Choose the server a command uses, based on profiles, the configuration file and the environment."""
