"""The general compressors behind the prediction of the LZMA baseline: raw LZMA2, and zstd with a long window.

A reader unpacks no more than it was told to expect.
"""

from __future__ import annotations

import lzma

import zstandard

from ..process import BenchError

WINDOW_LOG_MAX = 26  # of both compressors, and the most that a reader accepts in a group of several pictures
ESTIMATE, FINAL = 4, 9 | lzma.PRESET_EXTREME  # presets; below 4 LZMA searches otherwise, and ranks otherwise
FINAL_PRESET = "9e"  # as the xz program calls it
ZSTD_LEVEL = 19
CHUNK = 1 << 20


def _filters(size: int, **more: int) -> list[dict[str, int]]:
    """LZMA2 whose dictionary holds `size` bytes, as far as it may."""
    return [{"id": lzma.FILTER_LZMA2, "dict_size": min(max(size, 1 << 12), 1 << WINDOW_LOG_MAX), **more}]


def lzma_packed(data: bytes, context: int = 3, preset: int = FINAL) -> bytes:
    """Raw LZMA2. Positions tell nothing about samples: lp = pb = 0."""
    return lzma.compress(data, lzma.FORMAT_RAW, filters=_filters(len(data), preset=preset, lc=context, lp=0, pb=0))


def lzma_unpacked(data: bytes | memoryview, room: int) -> bytes:
    """Inverse of `lzma_packed`. Raises BenchError unless `data` is one whole stream of at most `room` bytes."""
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(room))
    try:
        found = decoder.decompress(data, room + 1)
    except lzma.LZMAError as error:
        raise BenchError(f"LZMA data are damaged: {error}") from None
    if not decoder.eof or decoder.unused_data:
        raise BenchError("LZMA data are not as long as the file says")
    return found


def zstd_packed(data: bytes) -> bytes:
    window = min(max((len(data) - 1).bit_length(), 10), WINDOW_LOG_MAX)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        ZSTD_LEVEL, window_log=window, enable_ldm=True, write_content_size=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def zstd_unpacked(data: bytes | memoryview, room: int) -> bytes:
    """Inverse of `zstd_packed`; a chunk at a time, as a frame may claim any length."""
    found = bytearray()
    reader = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG_MAX).stream_reader(data)
    try:
        while chunk := reader.read(CHUNK):
            found += chunk
            if len(found) > room:
                raise BenchError("zstd data are longer than the file says")
    except zstandard.ZstdError as error:
        raise BenchError(f"zstd data are damaged: {error}") from None
    return bytes(found)
