"""Matches: the match manager, the match server and the stats server, as three roles.

Pure: no sockets, clock, randomness or database. Protocol: docs/matches.md.
"""
