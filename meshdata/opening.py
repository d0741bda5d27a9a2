"""Opens the mesh that another door (MeshFlow, MeshCall) stands on, or borrows one that is open already."""

import asyncio
from typing import Any, TypeAlias

from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData, Url
from meshdata.values import Duration

Address: TypeAlias = "Url | MeshData"
"""A url, a ready client, a mesh to share, or None for the environment's."""


class Opening:
    """A mesh that is opened at its first use. One that was handed in is its owner's to open and to close.

    Attributes:
        mesh: it; open after `opened`.
    """

    def __init__(self, address: Address, **options: Any) -> None:
        self._borrowed = isinstance(address, MeshData)
        if isinstance(address, MeshData):
            given = sorted(name for name, value in options.items() if value is not None)
            if given:
                raise InvalidOptions(f"the mesh that is shared has its own {given[0]}", argument=given[0])
            self.mesh = address
        else:
            self.mesh = MeshData(address, **{name: value for name, value in options.items() if value is not None})
        self._lock = asyncio.Lock()

    async def opened(self) -> MeshData:
        """The mesh, open."""
        if not self._borrowed and not self.mesh.is_open:
            async with self._lock:  # several first uses at once
                await self.mesh.start()
        return self.mesh

    async def close(self, drain: Duration = 10) -> None:
        """Close it, unless it is somebody else's."""
        if not self._borrowed:
            await self.mesh.close(drain)
