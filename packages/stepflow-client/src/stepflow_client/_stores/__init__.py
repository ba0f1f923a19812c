"""Local storage for runs on the user's machine: SQLite files, their locks and contents. Sends no requests."""
