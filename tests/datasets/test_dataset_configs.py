"""The YAML of the data sets: the keys of each file are the fields of its class."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

from datasets.listing import ListedDataset

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "conf" / "dataset").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_keys_of_the_yaml_are_fields_of_its_class_and_are_checked(path: Path) -> None:
    keys = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(keys, dict)
    cls = get_class(keys.pop("_target_"))
    assert set(keys) == {field.name for field in dataclasses.fields(cls)}
    adapter = TypeAdapter(cls)
    dataset = adapter.validate_python(keys)
    assert isinstance(dataset, ListedDataset)
    assert dataset.name == path.stem
    for key, value in (("limit", 0), ("limit", "many"), ("labels", "jpeg"), ("split_file", 3)):
        if key in keys:
            with pytest.raises(ValidationError):
                adapter.validate_python({**keys, key: value})
