"""For tests of users: a mesh without a server, a clock they move, recorded runs against today's code.

With pytest nothing need be imported: installing meshdata gives the fixtures `mesh`, `mesh_clock` and `mesh_run`.
Without it: `MeshData("fake://name", clock=Clock())` and `run_until_idle(mesh)`. See docs/guides/testing.md; of
`replay`, docs/guides/versioning.md.
"""

from meshdata.testing.clock import Clock
from meshdata.testing.idle import run_until_idle
from meshdata.testing.replay import Replayed, replay

__all__ = ["Clock", "run_until_idle", "Replayed", "replay"]
