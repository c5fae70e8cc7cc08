"""Where another domain's encoder comes from."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest

from recsys.config import Settings
from recsys.errors import BundleError, ConfigError
from recsys.registry.origin import origin
from tests.registry.conftest import MakeBundle, encoder, registered


def asking(settings: Settings, start: str) -> Settings:
    return settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"start": start})})


def test_a_folder_and_nothing(tmp_path: Path) -> None:
    settings = Settings(artifacts=str(tmp_path))
    assert origin(settings) is None
    encoder(1).save(tmp_path / "other shop")
    for start in (str(tmp_path / "other shop"), (tmp_path / "other shop").as_uri()):
        found = origin(asking(settings, start))
        assert found is not None
        np.testing.assert_array_equal(found.item_vectors(), encoder(1).item_vectors())
    with pytest.raises(BundleError, match=r"'encoder\.safetensors' is missing"):
        origin(asking(settings, str(tmp_path / "nowhere")))


@pytest.mark.parametrize("start", ["s3://bucket/encoder", "models:/", "models:/shop", "models:/shop/two", "http://x/y"])
def test_other_places_are_refused(tmp_path: Path, start: str) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.start is .*models:/NAME/VERSION or models:/NAME@ALIAS"):
        origin(asking(Settings(artifacts=str(tmp_path)), start))


def test_a_registered_bundle_by_version_and_by_alias(make_bundle: MakeBundle, store: Settings, tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b", 4)
    other = store.model_copy(update={"registry": store.registry.model_copy(update={"model": "other-shop"})})
    version, _ = registered(other, made.folder)
    mlflow.MlflowClient().set_registered_model_alias("other-shop", "champion", version)
    for start in (f"models:/other-shop/{version}", "models:/other-shop@champion"):
        found = origin(asking(store, start))
        assert found is not None
        np.testing.assert_array_equal(found.item_vectors(), made.encoder.item_vectors())
    with pytest.raises(BundleError, match="model 'other-shop' has no 'newest'"):
        origin(asking(store, "models:/other-shop@newest"))
    with pytest.raises(BundleError, match="Version 99 of 'other-shop' is not in the registry"):
        origin(asking(store, "models:/other-shop/99"))
