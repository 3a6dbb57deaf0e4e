"""Bases of methods that have most of their computation in common."""
