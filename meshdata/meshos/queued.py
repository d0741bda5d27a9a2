"""Activities of a class that run on the workers of a queue: the object crosses as its id."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from meshdata.workflow.activity import Activity
from meshdata.workflow.context import running
from meshdata.workflow.function import Function


class QueuedActivity(Activity[..., Any]):
    """An activity method with a queue. What crosses to the worker has the object's id in front."""

    method: Callable[..., Any]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if running() is None:  # a plain call, of this very object
            return functools.partial(self.method, instance)
        return functools.partial(self.__call__, instance.id)


def queued(activity: Activity[..., Any], entity: str, version: str, of_job: Callable[[str], Any]) -> QueuedActivity:
    """The activity as one of a class with an entity; `mesh.serve_activities("gpu", Order.charge)` serves it.

    Args:
        of_job: makes the object for the job of an id.
    """
    method: Any = inspect.unwrap(activity.function.fn)  # of a class above it has the id in front
    name = f"{entity}.{method.__name__}" + (f".{version}" if version else "")
    made = object.__new__(QueuedActivity)
    made.__dict__.update(activity.__dict__)
    made.method = method
    made.function = Function(_by_id(method, of_job), name)
    return made


def _by_id(method: Callable[..., Any], of_job: Callable[[str], Any]) -> Callable[..., Any]:
    entered: Any
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def entered(id: str, *args: Any, **kwargs: Any) -> Any:
            return await method(of_job(id), *args, **kwargs)
    else:

        @functools.wraps(method)
        def entered(id: str, *args: Any, **kwargs: Any) -> Any:
            return method(of_job(id), *args, **kwargs)

    signature = inspect.signature(method)
    first, *rest = signature.parameters.values()
    entered.__signature__ = signature.replace(parameters=[first.replace(annotation=str), *rest])
    return entered  # type: ignore[no-any-return]  # one of the two
