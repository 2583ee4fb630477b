"""One seed per image; two images of a chain never share one.

A CPU torch generator uses only 32 bits of its seed, so hashes would collide after some ten thousand images. Instead
(chain seed, purpose) keys a permutation of 32 bits. Its input packs generation (8 bits), prompt (6 bits) and index (18
bits), so different images have different seeds.
"""

from __future__ import annotations

import hashlib

from entropy_loop.errors import ConfigError

GENERATION_BITS, PROMPT_BITS, INDEX_BITS = 8, 6, 18
_ROUNDS = 8


def seed(run_seed: int, purpose: str, generation: int = 0, prompt: int = 0, index: int = 0) -> int:
    """A seed in [0, 2**32), unique among all (generation, prompt, index) of one chain and purpose.

    Raises ConfigError if a number exceeds its bits.
    """
    packed = 0
    for name, value, bits in (
        ("generation", generation, GENERATION_BITS),
        ("prompt", prompt, PROMPT_BITS),
        ("index", index, INDEX_BITS),
    ):
        if not 0 <= value < 1 << bits:
            raise ConfigError(
                f"seeds: {name} {value} is outside 0..{(1 << bits) - 1}; a chain has at most {1 << GENERATION_BITS} "
                f"generations, {1 << PROMPT_BITS} prompts, and {1 << INDEX_BITS} images or steps in each."
            )
        packed = packed << bits | value
    return _permute(packed, f"{run_seed}/{purpose}")


def _permute(value: int, key: str) -> int:
    """A keyed permutation of 32 bits: a balanced Feistel network over two halves of 16 bits (Luby & Rackoff 1988: four
    rounds of a good round function suffice; eight cost nothing here)."""
    left, right = value >> 16, value & 0xFFFF
    for round_ in range(_ROUNDS):
        digest = hashlib.blake2b(f"{key}/{round_}/{right}".encode(), digest_size=2).digest()
        left, right = right, left ^ int.from_bytes(digest, "big")
    return left << 16 | right
