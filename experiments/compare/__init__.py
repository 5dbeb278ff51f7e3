"""Compares the rows of results folders with one of them, on the pictures that both have."""
