"""The networks: small ones whose integers every machine computes alike, and how they are trained and sent.

    layers, weights     a quantised layer; layers as bytes
    choice              which kernels a head is computed by
    exact, int8         kernels of torch that sum exactly
    threads             threads that each run kernels of one thread
    twin, loop          what training moves, and the one training loop; nothing that decodes imports them
    restorer/           heads that restore a picture from its base
    density/            heads that tell of each sample its mean and its spread

Arrays in, arrays or bytes out: imports no other package of the project.
"""
