"""entropy-loop: what becomes of a text-to-image model when its own images are fed back into its training?"""

from importlib.metadata import version

__version__ = version("entropy-loop")
