"""The methods: one file each, the registry, and what they share in families/ and parts/."""
