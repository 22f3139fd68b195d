"""Players that are programs: company for one person, load for a server, opponents for tests.

They use the Python clients as anybody would, and know nothing that a player does not.
"""
