"""Which server a command uses: profiles, configuration file, environment."""
