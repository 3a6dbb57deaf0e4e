"""The networks of the published comparison, and what stands in them between the layers."""
