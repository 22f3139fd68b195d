"""The command line: what an operator can do, and a match in the terminal."""
