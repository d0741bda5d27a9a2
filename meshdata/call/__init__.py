"""Calling functions through the mesh: what a caller may ask for, and what comes back."""
