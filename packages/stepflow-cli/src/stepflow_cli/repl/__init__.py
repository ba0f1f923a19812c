"""The prompt of `stepflow repl`: all commands, for one server, until somebody leaves."""
