"""Gaussian-splatting compressor for tiles of a picture. Empty so far.

What will live here: the model (a tile as a sum of coloured Gaussians), its rendering, its fit to a tile, and the
payload that stores it. Arrays in, arrays or bytes out: imports no other package of the project.
"""
