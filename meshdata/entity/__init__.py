"""Entities: named kinds of things, with their functions, hooks, models and records."""
