"""The command line: it asks, shows and exits.

What does the work is imported within each command, so that nobody waits for PyTorch to read a help text.
"""
