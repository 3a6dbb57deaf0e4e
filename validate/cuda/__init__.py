"""The same on a GPU: what is measured there, by what, and what it says."""
