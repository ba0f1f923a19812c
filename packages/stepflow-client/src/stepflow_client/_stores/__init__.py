"""Storage outside the server: SQLite and other files on the user's machine, and a shared history in PostgreSQL."""
