"""Bytes to values and back for the protocols that speak JSON. Pure."""
