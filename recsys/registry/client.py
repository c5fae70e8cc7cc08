"""What all calls of the registry share: errors with a name, and the version that a number or an alias means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

from recsys.config import RegistrySettings
from recsys.errors import BundleError, RegistryError

ABSENT = {ErrorCode.Name(INVALID_PARAMETER_VALUE), ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)}


@contextmanager
def asking() -> Iterator[None]:
    """RegistryError instead of MLflow's own where the registry does not answer."""
    try:
        yield
    except MlflowException as error:
        where = mlflow.get_registry_uri()
        raise RegistryError(f"The registry {where!r} did not do what was asked: {error}") from error


def champion(settings: RegistrySettings) -> ModelVersion | None:
    """The version that the alias points at; None: there is no such model or alias yet. RegistryError: no answer."""
    with asking():
        try:
            return mlflow.MlflowClient().get_model_version_by_alias(settings.model, settings.alias)
        except MlflowException as error:
            if error.error_code in ABSENT:
                return None
            raise


def version_of(settings: RegistrySettings, version: str) -> ModelVersion:
    """The version. BundleError: it is not in the registry. RegistryError: no answer."""
    with asking():
        try:
            return mlflow.MlflowClient().get_model_version(settings.model, version)
        except MlflowException as error:
            if error.error_code in ABSENT:
                raise BundleError(f"Version {version} of {settings.model!r} is not in the registry.") from None
            raise


def files_of(settings: RegistrySettings, version: str) -> str:
    """URI of the version's files. RegistryError: no answer."""
    with asking():
        return str(mlflow.MlflowClient().get_model_version_download_uri(settings.model, version))


def tag(settings: RegistrySettings, version: str, tags: Mapping[str, str]) -> None:
    """Write tags of a version, one after the other. RegistryError: no answer."""
    with asking():
        for key, value in tags.items():
            mlflow.MlflowClient().set_model_version_tag(settings.model, version, key, value)
