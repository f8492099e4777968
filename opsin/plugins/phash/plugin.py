"""Perceptual hashes: 64 bits that stay nearly the same when a picture is scaled or recompressed."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from opsin import LoadContext, Operation, Params, Result, Runner, hookimpl

HEXADECIMAL = "^[0-9a-f]{16}$"


class PerceptualHash(Result):
    """Two hashes of one picture; compare each only with its own kind, by `hamming_distance`."""

    near_duplicate_hashes = ("phash", "dhash")

    phash: str = Field(
        description="64-bit DCT hash (pHash) as 16 hexadecimal digits", pattern=HEXADECIMAL
    )
    dhash: str = Field(
        description="64-bit difference hash (dHash) as 16 hexadecimal digits", pattern=HEXADECIMAL
    )

    @staticmethod
    def hamming_distance(one: str, other: str) -> int:
        """The number of bits, 0 to 64, in which two hashes of one kind differ.

        0 to 10 is a near-duplicate as a rule, more is another picture; unrelated ones are around
        32 apart.  A picture turned or mirrored is another picture.  ValueError for no such hash.
        """
        if len(one) != 16 or len(other) != 16:
            raise ValueError("a hash has 16 hexadecimal digits")
        return (int(one, 16) ^ int(other, 16)).bit_count()


class HashPicture(Operation[Params, PerceptualHash]):
    """The hashes of one picture, or of the person or face in it."""

    name = "perceptual_hash"
    version = "1"
    description = "Computes hashes by which near-duplicates are found; turned pictures differ."
    result = PerceptualHash

    def load(self, context: LoadContext) -> Runner[Params, PerceptualHash]:
        from opsin.plugins.phash.runner import PerceptualHashRunner

        return PerceptualHashRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [HashPicture()]
