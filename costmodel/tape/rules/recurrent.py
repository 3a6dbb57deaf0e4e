"""Rules of recurrent networks."""
