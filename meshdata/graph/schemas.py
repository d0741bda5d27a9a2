"""JSON schemas as checks of what comes in and goes out, for models that ask for it: `settings.validate: true`."""

from typing import Any

from meshdata.graph.compiled import Validator


class SchemaError(ValueError):
    """Data do not fit a schema; the message begins with the path: `items.0.price: …`."""

    def __init__(self, message: str, path: tuple[str, ...]) -> None:
        super().__init__(f"{'.'.join(path)}: {message}" if path else message)
        self.path = path


class NoSchema(Exception):
    """A schema is no JSON schema, or the package that reads them is missing."""


def validator_of(schema: dict[str, Any]) -> Validator:
    """A check by a schema.

    Raises:
        NoSchema: it is none, or jsonschema is not installed.
    """
    try:
        from jsonschema.exceptions import SchemaError as Invalid
        from jsonschema.exceptions import best_match
        from jsonschema.validators import Draft202012Validator, validator_for
    except ImportError as error:
        raise NoSchema("settings.validate needs jsonschema; install meshdata[graphs]") from error
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except Invalid as error:
        at = ".".join(str(step) for step in error.path)
        raise NoSchema(f"this is no JSON schema: {at + ': ' if at else ''}{error.message}") from error
    checker = kind(schema)

    def validate(data: Any) -> None:
        found = best_match(checker.iter_errors(data))
        if found is not None:
            raise SchemaError(found.message, tuple(str(step) for step in found.absolute_path))

    return validate
