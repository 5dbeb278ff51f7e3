"""Data sets: pictures with ground truth, one module each, all with the interface of `datasets.base.Dataset`.

Import the modules (``from datasets.cocostuff27 import CocoStuff27``), never ``import datasets``: Hugging Face's library
has the same name.
"""
