"""What scenarios share with the suites that run whole meshes."""

from tests.integration.conftest import eventually

__all__ = ["eventually"]
