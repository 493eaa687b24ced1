"""Measurements: methods that encode and decode clips in processes of their own, and the scripts that compare them.

Rates are bytes of whole files that were decoded again, speeds are ratios to a peer of the same run on the same cores.

    python -m bench.rd      rate and quality of nvc and of libav's encoders, BD-rate
    python -m bench.film    what must hold for a real film: time, memory, sound, players, remuxing
    python -m bench.heads   what a head gains over the base that it stands on, and what history adds
    python -m bench.exact   the same planes on every thread count, instruction set and device
"""
