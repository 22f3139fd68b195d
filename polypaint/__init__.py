"""polypaint-fast: a realtime server in which people draw together."""
