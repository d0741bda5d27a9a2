"""Graphs: YAML models that are compiled, deployed in versions, and run by the mesh. `from meshdata import HotMesh`."""

from meshdata.graph.stream import JobOutput, StreamData, StreamReply
from meshdata.hotmesh.client import HotMesh
from meshdata.hotmesh.quorum import QuorumProfile

__all__ = ["HotMesh", "JobOutput", "QuorumProfile", "StreamData", "StreamReply"]
