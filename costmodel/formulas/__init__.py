"""From recordings with symbols to closed forms, their values on arrays, and the O(·) table. Needs SymPy and NumPy."""
