"""Copies the scores of a run to another place, such as wandb, while it runs. Changes no result."""
