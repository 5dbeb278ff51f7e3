"""Files of a results folder: records, locks, the list of written files, and the provenance of a run."""
