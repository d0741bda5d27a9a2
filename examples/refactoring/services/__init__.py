"""The three services of the shop. Whoever calls them, they stay as they are."""
