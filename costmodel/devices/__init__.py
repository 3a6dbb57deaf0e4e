"""What a machine can do: its figures, the time that follows from them, and a fit to published epoch counts."""
