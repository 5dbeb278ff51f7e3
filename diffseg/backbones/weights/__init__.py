"""Weights of the backbones: finds, downloads, checks and loads them."""
