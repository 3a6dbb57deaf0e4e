"""What a network's training step takes beside its layers: loss and optimizer, recorded like them."""
