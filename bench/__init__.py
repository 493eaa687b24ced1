"""Measurements: one interface for every method, one adapter a file, and the reports made from them. Empty so far.

Rates are bytes of whole files that were decoded again, speeds are ratios to a peer of the same run on the same cores.
"""
