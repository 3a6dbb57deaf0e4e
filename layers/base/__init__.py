"""What every layer is built from: the contract, stride and padding, operations with a backward of their own."""
