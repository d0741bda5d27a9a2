"""Demonstrations: each module tells one door of the library on a real Redis, what every step cost and what it left."""
