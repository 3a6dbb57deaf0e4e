"""The decision: what fits the memory and the time."""
