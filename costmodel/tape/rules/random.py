"""Rules of functions that draw at random."""
