"""Reports, curves, plots and pages of what was measured."""
