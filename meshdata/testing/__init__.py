"""For tests of users: recorded runs against today's code. See docs/guides/versioning.md."""

from meshdata.testing.replay import Replayed, replay

__all__ = ["Replayed", "replay"]
