"""A Python function as the mesh sees it: what it takes, and what its annotations make of JSON; others run it.

A value crosses Redis as JSON, which has no dates, models or enums. The receiving side makes them again from the
function's own annotations. What is not annotated, is `Any`, or says nothing to pydantic stays as JSON gave it.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import pydantic
import pydantic_core
from typing_extensions import TypeAliasType

from meshdata.errors import InvalidOptions, JobFailed
from meshdata.telemetry import get_logger
from meshdata.values import from_json

logger = get_logger(__name__)

Types = dict[str, pydantic.TypeAdapter[Any]]
InThread = Callable[..., Coroutine[Any, Any, Any]]
"""Runs a plain function in a thread: `await in_thread(fn, *args, **kwargs)`."""

# Values are written with bytes as base64 (values.to_json), so they are read so.
_CONFIG: Final = pydantic.ConfigDict(val_json_bytes="base64")
_UNTYPED: Final = (inspect.Parameter.empty, Any, object, typing.NoReturn, typing.Never)
_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Function:
    """A function, a bound method, a partial or a callable object, with its signature read once.

    Attributes:
        fn: what to call; name: what the mesh calls it, by default its own name.
        is_async: whether calling it gives a coroutine.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, *, argument: str = "fn") -> None:
        if not callable(fn):
            raise InvalidOptions(f"{type(fn).__name__} cannot be called", argument=argument)
        inner = _innermost(fn)
        if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
            raise InvalidOptions(
                f"{_name_of(fn)} is a generator; a function of the mesh returns one value", argument=argument
            )
        self.fn = fn
        self.name = name or _name_of(fn)
        self.is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)
        self._signature = _signature_of(fn)
        parameters = list(self._signature.parameters.values()) if self._signature else []
        self._positional = [one for one in parameters if one.kind in _BY_POSITION]
        self._names = {one.name: one for one in parameters if one.kind in _BY_NAME}
        self._rest = next((one for one in parameters if one.kind is inspect.Parameter.VAR_POSITIONAL), None)
        self._rest_by_name = next((one for one in parameters if one.kind is inspect.Parameter.VAR_KEYWORD), None)
        self._required = [one for one in parameters if _is_required(one)]
        # Read at first use: building adapters costs more than all the calls of a short program, and a name that an
        # annotation uses may be defined further down the module.
        self._parameter_types: Types | None = None
        self._return_types: Types | None = None

    def __repr__(self) -> str:
        return f"Function({self.name})"

    @property
    def source(self) -> str:
        """Its source text; its name and signature where there is none to read."""
        try:
            return inspect.getsource(_innermost(self.fn))
        except (OSError, TypeError):
            return f"{self.name}{self._signature or '(...)'}"

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Check that the function could be called so; its types are not looked at.

        Raises:
            InvalidOptions: too many arguments, an unknown name, one given twice, one missing; `.argument` names it.
        """
        if self._signature is None:
            return
        given = len(args)
        if given > len(self._positional) and self._rest is None:
            takes = len(self._positional)
            raise InvalidOptions(
                f"{self.name}{self._signature} takes {takes} by position, not {given}",
                argument=f"args[{takes}]",
            )
        for name in kwargs:
            self._check_name(name, given)
        if len(self._required) > given or kwargs or any(one.kind not in _BY_POSITION for one in self._required):
            by_position = {one.name for one in self._positional[:given]}
            for one in self._required:
                named = one.name in kwargs and one.kind is not inspect.Parameter.POSITIONAL_ONLY
                if not named and one.name not in by_position:
                    raise InvalidOptions(f"{self.name}{self._signature} needs it", argument=one.name)

    def _check_name(self, name: str, given: int) -> None:
        parameter = self._names.get(name)
        if parameter is None:
            if self._rest_by_name is not None:
                return
            near = difflib.get_close_matches(name, self._names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InvalidOptions(f"{self.name}{self._signature} has no such parameter{hint}", argument=f"kwargs.{name}")
        if any(one.name == name for one in self._positional[:given]):
            raise InvalidOptions(
                f"{self.name}{self._signature} was given it twice, by position and by name", argument=name
            )

    def arguments(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Make the values the function expects from what JSON gave.

        Returns:
            (args, kwargs), the very same objects where nothing is annotated.

        Raises:
            InvalidOptions: a value does not fit its annotation; `.argument` is the path to it, e.g. "user.address.zip".
        """
        types_of = self._types_taken()
        if not types_of:
            return args, kwargs
        if args:
            last = len(self._positional)
            args = [
                _convert(types_of, parameter.name, value, parameter.name if at < last else f"args[{at}]")
                if (parameter := self._positional[at] if at < last else self._rest) is not None
                else value
                for at, value in enumerate(args)
            ]
        if kwargs:
            rest = self._rest_by_name
            kwargs = {
                name: _convert(types_of, parameter.name, value, name)
                if (parameter := self._names.get(name, rest)) is not None
                else value
                for name, value in kwargs.items()
            }
        return args, kwargs

    def result(self, value: Any) -> Any:
        """Make the value the function returned from what JSON gave.

        Raises:
            InvalidOptions: it does not fit the return annotation; `.argument` is "return" and the path.
        """
        types_of = self._types_given()
        return _convert(types_of, "return", value, "return") if types_of else value

    def check_arguments(self, body: bytes) -> None:
        """Refuse a call's body (`a` and `k`, as JSON) whose values do not fit the annotations; see `arguments`."""
        if self._types_taken():
            said = from_json(body)
            self.arguments(list(said["a"]), said.get("k") or {})

    def check_result(self, payload: bytes) -> None:
        """Refuse a result, as JSON, that does not fit the annotation; None says nothing of a type, and always does."""
        if payload != b"null" and self._types_given():
            self.result(from_json(payload))

    def _types_taken(self) -> Types:
        if self._parameter_types is None:
            self._parameter_types = self._read_parameter_types()
        return self._parameter_types

    def _types_given(self) -> Types:
        if self._return_types is None:
            self._return_types = self._read_return_type()
        return self._return_types

    async def run(self, in_thread: InThread, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call it: a coroutine function on the loop, a plain one in a thread."""
        if not self.is_async:
            result = await in_thread(self.fn, *args, **kwargs)
            # A plain function may hand back a coroutine (a lambda around one, say).
            return await result if inspect.iscoroutine(result) else result
        try:
            return await self.fn(*args, **kwargs)
        except SystemExit as error:
            raise _as_failure(error) from error

    def _read_parameter_types(self) -> Types:
        if self._signature is None:
            return {}
        annotations = {name: parameter.annotation for name, parameter in self._signature.parameters.items()}
        return _adapters(self.fn, self.name, annotations)

    def _read_return_type(self) -> Types:
        if self._signature is None:
            return {}
        return _adapters(self.fn, self.name, {"return": self._signature.return_annotation})


def contained(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a plain function in a thread of its own, where nothing it raises may end more than its own run.

    Raises:
        JobFailed: it asked for the end of the process, or raised StopIteration, which no future takes.
    """
    try:
        return fn(*args, **kwargs)
    except (SystemExit, KeyboardInterrupt, StopIteration) as error:
        raise _as_failure(error) from error


def _as_failure(error: BaseException) -> JobFailed:
    # asyncio lets SystemExit through to the end of the loop; then every other run of the process would end with it, and
    # the processes that take the job over one after another too.
    return JobFailed(str(error), type=type(error).__name__)


# --- reading a signature ----------------------------------------------------------------------------------------------


def _innermost(fn: Callable[..., Any]) -> Any:
    """The plain function behind partials, bound methods, decorators and callable objects."""
    inner: Any = fn
    while True:
        if isinstance(inner, functools.partial):
            inner = inner.func
        elif isinstance(inner, types.MethodType):
            inner = inner.__func__
        elif hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        elif not isinstance(inner, type) and isinstance(type(inner).__call__, types.FunctionType):
            inner = type(inner).__call__  # an object with a __call__ written in Python
        else:
            return inner


def _name_of(fn: Callable[..., Any]) -> str:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return str(getattr(fn, "__name__", None) or type(fn).__name__)


def _signature_of(fn: Callable[..., Any]) -> inspect.Signature | None:
    """The signature; None where the function is written in C and does not tell."""
    try:
        if sys.version_info >= (3, 14):  # annotations are evaluated when asked for, and may name what does not exist
            import annotationlib

            return inspect.signature(fn, annotation_format=annotationlib.Format.FORWARDREF)
        return inspect.signature(fn)
    except (ValueError, TypeError):
        return None


def _is_required(parameter: inspect.Parameter) -> bool:
    variable = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and not variable


# --- types ------------------------------------------------------------------------------------------------------------


def _adapters(fn: Callable[..., Any], name: str, annotations: Mapping[str, Any]) -> Types:
    """Build an adapter for each annotation that says something pydantic understands."""
    inner = _innermost(fn)
    outer_names = getattr(inner, "__globals__", {})
    code = getattr(inner, "__code__", None)
    # Annotations kept as text may name what is local to the place of definition; what the body uses is in its closure.
    cells = zip(code.co_freevars, inner.__closure__ or (), strict=True) if code else ()
    inner_names = {variable: cell.cell_contents for variable, cell in cells if _is_filled(cell)}
    adapters = {}
    for key, annotation in annotations.items():
        try:
            hint = _resolve(annotation, outer_names, inner_names)
            if hint is not None:
                adapters[key] = _adapter(hint)
        except Exception as problem:  # annotations may be anything, and evaluating them runs user code
            logger.debug("annotation left untyped", extra={"function": name, "parameter": key, "reason": str(problem)})
    return adapters


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _resolve(annotation: Any, outer_names: dict[str, Any], inner_names: dict[str, Any]) -> Any:
    """The type an annotation means; None where it means none. An awaitable's is what awaiting it gives."""
    if any(annotation is one for one in _UNTYPED):
        return None
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    hint = typing.get_type_hints(holder, outer_names, inner_names, include_extras=True)["it"]
    origin = typing.get_origin(hint)
    if origin is Coroutine or origin is Awaitable:
        hint = typing.get_args(hint)[-1]
    return None if any(hint is one for one in _UNTYPED) or isinstance(hint, typing.TypeVar) else hint


def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    # Behind an alias a plain dataclass takes our configuration; named directly, pydantic refuses to give it one.
    alias: Any = TypeAliasType("Value", hint)
    return pydantic.TypeAdapter(alias, config=_CONFIG)


def _convert(types_of: Types, key: str, value: Any, path: str) -> Any:
    adapter = types_of.get(key)
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value)
    except pydantic.ValidationError as problem:
        # A strict model takes a date as text from JSON but not from Python: ask again the way it was written.
        try:
            return adapter.validate_json(pydantic_core.to_json(value))
        except (pydantic.ValidationError, pydantic_core.PydanticSerializationError):
            first = problem.errors(include_url=False, include_input=False)[0]
            more = f" (and {problem.error_count() - 1} more)" if problem.error_count() > 1 else ""
            raise InvalidOptions(f"{first['msg']}{more}", argument=path + _dotted(first["loc"])) from problem


def _dotted(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
