"""Files of every kind: they are opened, read and written here, and their faults are worded here. Imports no torch."""
