"""MeshCall: calls between services by topic, with their results cached; no workflow and no record behind them."""

from meshdata.call.kept import CallOptions
from meshdata.meshcall.client import MeshCall
from meshdata.meshcall.topic import Topic

__all__ = ["CallOptions", "MeshCall", "Topic"]
