"""Heads that tell of each sample its mean and its spread."""
