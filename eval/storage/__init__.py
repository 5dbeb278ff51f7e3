"""Files of a results folder: their names, records, commands, locks, and the provenance of a run."""
