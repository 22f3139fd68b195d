"""What browsers are given: `static/client` is the JavaScript client, a package of its own for npm.

Only data: nothing here is imported by the server. Counterpart: `client`, the Python client.
"""
