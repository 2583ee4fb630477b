"""`python -m entropy_loop` is `entropy-loop`."""

from entropy_loop.cli import main

main()
