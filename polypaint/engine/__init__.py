"""What every service stands on: sessions, effects, timers, budgets, records for the journal.

Pure: no sockets, clock, randomness, threads or database. Time is an argument.
"""
