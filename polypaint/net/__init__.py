"""The edge: sockets, HTTP, WebSocket, password hashing. Thin; the conversation is in `paint`."""
