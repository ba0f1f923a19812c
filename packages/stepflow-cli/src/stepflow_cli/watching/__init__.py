"""Running a command again whenever a file that it reads changes."""
