"""Environments in other libraries, and theirs in ours: a thin adapter a library, imported when it is used."""
