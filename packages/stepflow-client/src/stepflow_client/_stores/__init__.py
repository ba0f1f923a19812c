"""What a user's machine keeps of runs: SQLite files, their locks, and what is written into them. No requests."""
