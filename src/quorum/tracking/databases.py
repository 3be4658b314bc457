"""Database servers: asked once whether they answer, and kept to oneself while tables are made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import Connection, create_engine, text

from quorum.errors import RegistryError, masked

ANSWER_SECONDS = 8  # that a store has to answer in when it is opened
POSTGRESQL = "postgresql"
SERVERS = (POSTGRESQL, "mysql")
DRIVERS = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}  # and their packages
_LOCK = 0x71756F72756D  # "quorum": of the lock that those who make tables hold


def server_of(uri: str) -> str:
    """The kind of database server that a URI names, or ""."""
    scheme = uri.partition(":")[0].partition("+")[0]
    return scheme if "://" in uri and scheme in SERVERS else ""


@contextlib.contextmanager
def alone(uri: str, what: str) -> Iterator[Connection]:
    """A connection to a database server. Where it is PostgreSQL, no two processes have one at the same time: what makes
    or migrates tables would collide.

    Args:
        uri: of the database.
        what: it is, for messages.

    Raises:
        RegistryError: where the driver is missing.
        SQLAlchemyError: where the server does not answer.
    """
    try:
        engine = create_engine(uri, connect_args={"connect_timeout": ANSWER_SECONDS})
    except ModuleNotFoundError as error:
        package = DRIVERS.get(str(error.name), str(error.name))
        raise RegistryError(masked(f"{what} {uri}: its driver is missing; pip install {package}")) from error
    try:
        with engine.connect() as connection:
            if server_of(uri) == POSTGRESQL:
                connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))  # ends with the connection
                connection.commit()
            yield connection
    finally:
        engine.dispose()
