"""MeshCall: calls between services by topic, with their results cached; no workflow and no record behind them."""

from meshdata.call.schedule import Schedule
from meshdata.meshcall.client import MeshCall

__all__ = ["MeshCall", "Schedule"]
