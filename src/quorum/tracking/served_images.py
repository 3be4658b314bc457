"""The images of a request to a served model, and the answer to one that is no image."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from quorum.data.images import Pixels, decode
from quorum.errors import DataError


class WrongImage(MlflowException):  # type: ignore[misc]
    """An image of a request that cannot be decoded. MLflow's scoring server answers with HTTP status 400 and this line.

    Any other exception would be answered with a stack trace.
    """

    def __init__(self, line: str) -> None:
        super().__init__(line, error_code=BAD_REQUEST)
        self.line = line

    def serialize_as_json(self) -> str:
        self.message = self.line  # the server has written the whole request before it
        return str(super().serialize_as_json())


def decoded(model_input: pd.DataFrame) -> Iterator[Pixels]:
    """The images of a request, one by one.

    Args:
        model_input: a column `image` with image files, as base64 text or as bytes.

    Raises:
        WrongImage: for the first that is none, or too large; the line names its row, from 0. Where there is no row.
    """
    if model_input.empty:
        raise WrongImage("no image in the request")
    for row, content in enumerate(model_input["image"]):
        name = f"image {row}"
        try:
            yield decode(_bytes(content, name), name)
        except DataError as error:
            raise WrongImage(str(error)) from error


def _bytes(content: object, name: str) -> bytes:
    """The bytes of an image file. Raises DataError for what is neither bytes nor base64 text."""
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        raise DataError(f"{name}: neither base64 text nor bytes")
    try:
        return base64.b64decode("".join(content.split()), validate=True)  # programs break its lines
    except ValueError as error:
        raise DataError(f"{name}: not base64 text ({error})") from error
