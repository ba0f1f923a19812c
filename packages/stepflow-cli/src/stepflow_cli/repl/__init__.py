"""The prompt of `stepflow repl`: all commands, on one server, until the user exits."""
