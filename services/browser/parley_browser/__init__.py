"""Reads public web pages to clean text with Chromium."""
