"""Imports that the processes of `tests.helpers.forks` share."""

# ruff: noqa: F401
import sklearn.cluster

import diffseg.backbones.vit_attention
import experiments.running.runner
