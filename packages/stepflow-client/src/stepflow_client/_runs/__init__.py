"""Analysis of runs: why they failed, what reruns keep, how two runs differ, and what the client adds to their flows."""
