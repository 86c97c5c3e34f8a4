"""[3] Attribution policies, one a file: they weigh, the ledger alone turns weights into joules. Pure."""
