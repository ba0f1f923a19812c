"""Call options and arguments, and rerun plans, shared by both clients."""
