"""Checks that `bench check NAME` runs: each a question of its own, with its own figures."""
