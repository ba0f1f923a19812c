"""The language server: what an editor asks about flows and server configurations while they are written."""
