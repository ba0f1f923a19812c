"""`python -m stepflow_cli`."""

from .entry import main

main()
