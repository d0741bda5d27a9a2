"""The Redis side of the house: connections, keys, scripts; only these modules speak Redis."""
