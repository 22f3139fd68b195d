"""The web port: health, metrics, lists, pictures, and what browsers are given (`static`).

`static/client` is the JavaScript client, a package of its own for npm; the Python counterpart is
`polypaint.client`.
"""
