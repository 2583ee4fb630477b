"""The command line: typer commands. Only this package prints and exits; the work is done in the library."""

from __future__ import annotations

import atexit
import io
import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from entropy_loop import __version__, assets
from entropy_loop.cli import exports, folder, people, setup, studies, tools  # noqa: F401 (importing them adds their commands to the app)
from entropy_loop.cli.app import app
from entropy_loop.errors import EntropyLoopError
from entropy_loop.machine import threads
from entropy_loop.machine.signals import Stopped, stop_on_signals


def main() -> None:
    """Run the command line. An error that a user can act on becomes one message and an exit code."""
    # numpy's matrices are small here: more threads only wait for each other, and could round differently.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    threads.wait_passively()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does: a locale may lack a letter
    stop_on_signals()
    try:
        sys.exit(app(standalone_mode=False))  # the code of a `typer.Exit`; None, success, without one
    except EntropyLoopError as error:
        _fail(str(error), error.exit_code)
    except Stopped as stopped:
        with suppress(OSError):  # nobody reads it any more
            _print_error(f"stopped by {stopped.signal.name}; nothing finished is lost. The same command continues.")
        _leave(128 + stopped.signal)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer's own usage errors
            _fail(f"{error.format_message()} See `entropy-loop --help`.", 2)
        raise


def _fail(message: str, code: int) -> None:
    _print_error(message)
    sys.exit(code)


def _leave(code: int) -> None:
    """End the process now: Python would first take libraries and tables apart, which takes seconds."""
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


def _print_error(message: str) -> None:
    # A file's name may hold control characters; they must not reach the terminal.
    safe = "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in message
    )
    print(f"entropy-loop: {safe}", file=sys.stderr, flush=True)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"entropy-loop {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What becomes of a text-to-image model when its own images are fed back into its training?"""
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)
    assets.restrict_libraries(context.invoked_subcommand != "fetch")
