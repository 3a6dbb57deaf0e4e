"""Rules of matrix decompositions."""
