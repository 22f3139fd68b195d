"""The paint protocol: packets, sessions, lobbies, channels, canvases. Pure: no I/O, no clock."""
