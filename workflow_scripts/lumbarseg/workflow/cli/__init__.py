"""What `python -m lumbarseg` does: a module a command, with `add_parser(commands)`."""
