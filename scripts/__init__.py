"""Developers' scripts; they make files of the repository from its code or from public data."""
