"""The methods that may be called from outside: importing this fills `METHODS`."""

from meshdata.api.methods import METHODS
from meshdata.api.verbs import jobs, namespace, records

__all__ = ["METHODS", "jobs", "namespace", "records"]
