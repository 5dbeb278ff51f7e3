"""Files of a results folder: records, locks, the list of written files, and what a run was made with."""
