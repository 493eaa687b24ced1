"""The networks: small ones whose integers every machine computes alike, and how they are trained and sent.

    layers, weights     a quantised layer; layers as bytes
    exact               kernels that sum exactly, and their threads
    twin, loop          what training moves, and the one training loop; nothing that decodes imports them
    restorer/           heads that restore a picture from its base
    density/            heads that tell of each sample its mean and its spread

Arrays in, arrays or bytes out: imports no other package of the project.
"""
