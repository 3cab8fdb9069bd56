"""Revisions of the tables of the accounts service."""
