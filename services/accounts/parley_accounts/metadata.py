"""What all tables of accounts belong to."""

from sqlalchemy import MetaData

metadata = MetaData()
