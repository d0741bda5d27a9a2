"""Graphs: YAML models that are compiled, deployed in versions, and run by the mesh. `from meshdata import HotMesh`."""

from meshdata.graph.stream import JobOutput, StreamData, StreamReply
from meshdata.hotmesh.client import HotMesh

__all__ = ["HotMesh", "JobOutput", "StreamData", "StreamReply"]
