"""Local storage of runs on the user's machine: SQLite files, their locks and their contents. No requests."""
