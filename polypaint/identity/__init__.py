"""Who somebody is: names, accounts, presence, tickets, the order of password checks. Pure."""
