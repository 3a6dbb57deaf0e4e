"""Computations that methods are made of; none knows a layer."""
