"""What carries the services out on an event loop: server, flusher, effects, recovery, logs."""
