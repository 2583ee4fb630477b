"""The command line with the painted toy generator, as a process of its own: `python serve.py run|rate|report ...`."""

import painted

from entropy_loop import cli

if __name__ == "__main__":
    with painted.registered():
        cli.main()
