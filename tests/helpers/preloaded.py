"""Imports that the processes of `tests.helpers.forks` share."""

# ruff: noqa: F401
import gc

import sklearn.cluster
import transformers.models.dinov2.modeling_dinov2

import diffseg.backbones.vit_attention
import experiments.running.runner

gc.collect()
gc.freeze()  # the processes need not search the imports for garbage
