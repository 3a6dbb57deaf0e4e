"""What predictions, layers and networks cost beside others, and whether layers keep their claims; run by make."""
