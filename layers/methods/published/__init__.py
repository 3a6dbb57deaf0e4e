"""The layers as published, by which comparisons are reproduced: LAYERS["lot/published"] and so on."""
