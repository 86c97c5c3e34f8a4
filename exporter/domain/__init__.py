"""The words everyone shares: units, devices, readings, lines, events, snapshots, errors. Standard library only."""
