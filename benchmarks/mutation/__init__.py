"""Mutants of the rules: what each does to a recording, and which cases tell it from what torch does."""
