"""What a service keeps: its tables, the history of their shape, and where they are."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, MetaData, make_url

_DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}


@dataclass(frozen=True, slots=True)
class Store:
    """The tables of one service; several share a PostgreSQL database, each has an SQLite file of its own.

    `name` is the service's and begins the names of its tables; `title` is what people are told of. `head` is
    the revision that the code expects, among those in the folder `revisions`.
    """

    name: str
    title: str
    metadata: MetaData
    head: str
    revisions: Path

    @property
    def version_table(self) -> str:
        """Where Alembic notes the revision."""
        return f"alembic_version_{self.name}"

    @property
    def advisory_lock(self) -> int:
        """The lock of PostgreSQL under which one instance at a time migrates."""
        return int.from_bytes(b"parl" + self.name.encode()[:4].ljust(4), "big")

    def url(self, database_url: str | None, data_dir: Path) -> URL:
        """Return the address with our driver, whichever it names; without an address, a file in `data_dir`.

        Raises:
            ValueError: Another kind of database, or an SQLite database that no file keeps.
        """
        if not database_url:
            return URL.create("sqlite", database=str(data_dir / f"{self.name}.sqlite"))
        url = make_url(database_url)
        driver = _DRIVERS.get(url.drivername.partition("+")[0])
        if driver is None:
            message = f"DATABASE_URL must begin with postgresql:// or sqlite://, not {url.drivername}://"
            raise ValueError(message)
        url = url.set(drivername=driver)
        if driver == "sqlite" and (not url.database or url.database == ":memory:"):
            raise ValueError("DATABASE_URL names no SQLite file: what is stored there would not be kept")
        return _with_libpq_names(url)


def _with_libpq_names(url: URL) -> URL:
    # asyncpg, which other services may use at the same address, also calls it `ssl`.
    ssl_mode = url.query.get("ssl")
    if ssl_mode is None:
        return url
    return url.difference_update_query(["ssl"]).update_query_dict({"sslmode": ssl_mode})
