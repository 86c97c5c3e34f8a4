"""Compressed bytes as lines, a piece at a time. What was cut off yields the lines that are complete."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from exporter.recording.format import GZIP_WINDOW, GarbledError

_CHUNK_BYTES = 1 << 16
_LONGEST_BYTES = 1 << 27
"""A longer line is none of ours; books that were taken up are the longest."""


def unpacked(file: BinaryIO) -> Iterator[str]:
    """Lines without their ends.

    Raises:
        GarbledError: the bytes are damaged, or no compressed lines at all.
    """
    inflate = zlib.decompressobj(wbits=GZIP_WINDOW)
    rest = b""
    while (chunk := file.read(_CHUNK_BYTES)) and not inflate.eof:
        whole, newline, end = _inflated(inflate, chunk).rpartition(b"\n")
        if newline:
            yield from (rest + whole).decode("ascii", errors="surrogateescape").split("\n")
            rest = end
        else:
            rest += end
        if len(rest) > _LONGEST_BYTES:
            raise GarbledError("a line too long to be one of a recording")


def _inflated(inflate: "zlib._Decompress", chunk: bytes) -> bytes:
    try:
        return inflate.decompress(chunk)
    except zlib.error as error:
        raise GarbledError("the file is damaged here") from error
