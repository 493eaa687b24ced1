"""The networks: what restores a full-resolution frame from the base stream.

Training in float, inference in integers that every machine computes alike, and the coding of the weights.
Arrays in, arrays or bytes out: imports no other package of the project.
"""
