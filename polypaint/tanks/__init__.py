"""Tanks: an arena, its economy, its moderated chat.

Pure: no sockets, clock, randomness or database. Protocol: docs/tanks.md.
"""
