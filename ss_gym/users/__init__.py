"""Customers: what they want, how they talk, and what they understand."""
