"""Rules of normalisation."""
