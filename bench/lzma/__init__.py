"""The LZMA baseline for films."""
