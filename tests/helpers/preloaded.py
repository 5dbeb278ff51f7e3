"""What the processes of `tests.helpers.forks` have imported before they start."""

# ruff: noqa: F401
import sklearn.cluster

import diffseg.backbones.vit_attention
import experiments.running.runner
