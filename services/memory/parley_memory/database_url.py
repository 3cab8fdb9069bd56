"""Where the database is: what people write as an address, turned into one with its driver."""

from pathlib import Path

from sqlalchemy import URL, make_url

FILE_NAME = "memory.sqlite"

_DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}


def resolve_database_url(database_url: str | None, data_dir: Path) -> URL:
    """Return the address with our driver, whichever it names; without an address, a file in `data_dir`.

    Raises:
        ValueError: Another kind of database, or an SQLite database that no file keeps.
    """
    if not database_url:
        return URL.create("sqlite", database=str(data_dir / FILE_NAME))
    url = make_url(database_url)
    driver = _DRIVERS.get(url.drivername.partition("+")[0])
    if driver is None:
        raise ValueError(f"DATABASE_URL must begin with postgresql:// or sqlite://, not {url.drivername}://")
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
