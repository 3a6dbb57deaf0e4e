"""The methods as published: the mirror of ``lipcost.layers.published``."""
