"""Where the database is: what people write as an address, turned into one for an asynchronous driver."""

from pathlib import Path

from sqlalchemy import URL, make_url

FILE_NAME = "memory.sqlite"

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


def resolve_database_url(database_url: str | None, data_dir: Path) -> URL:
    """Return the address for the asynchronous driver; without one, a file in `data_dir`.

    Raises:
        ValueError: Another kind of database, or an SQLite database that no file keeps.
    """
    if not database_url:
        return URL.create("sqlite+aiosqlite", database=str(data_dir / FILE_NAME))
    url = make_url(database_url)
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ValueError(f"DATABASE_URL must begin with postgresql:// or sqlite://, not {url.drivername}://")
    url = url.set(drivername=driver)
    if driver.startswith("sqlite") and (not url.database or url.database == ":memory:"):
        raise ValueError("DATABASE_URL names no SQLite file: what is stored there would not be kept")
    return _with_asyncpg_names(url)


def _with_asyncpg_names(url: URL) -> URL:
    # libpq calls it `sslmode`; asyncpg refuses that name and takes the same values as `ssl`.
    ssl_mode = url.query.get("sslmode")
    if ssl_mode is None:
        return url
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": ssl_mode})
