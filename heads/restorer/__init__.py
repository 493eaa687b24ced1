"""Heads that restore or enlarge pictures."""
