"""entropy-loop: what becomes of a text-to-image model when its own images are fed back into its training?

For notebooks: `run(config)` runs an experiment, `open_results(folder)` opens a results folder. Both return `Results`:
the tables as pandas frames, and the images. Importing this module imports neither torch nor pandas.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entropy_loop.results import Results, open_results, run

__all__ = ["Results", "__version__", "open_results", "run"]
__version__ = version("entropy-loop")

if not TYPE_CHECKING:  # with `__getattr__` a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name in __all__:
            return getattr(import_module("entropy_loop.results"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
