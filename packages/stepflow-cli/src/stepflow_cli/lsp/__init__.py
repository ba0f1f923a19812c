"""The language server for editing flows and server configurations."""
