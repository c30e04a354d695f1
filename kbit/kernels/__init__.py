"""Arithmetic on weight tensors: what a codebook and a block size do to them. Knows no data type and no model."""
