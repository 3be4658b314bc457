"""Files of pretrained weights: where they are on this machine, and how they are had where they are not."""

from __future__ import annotations

import importlib.util
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlparse

import torch

PATIENCE_SECONDS = 5  # in which Hugging Face's hub has to answer before a download is begun

_HASH = re.compile(r"-([a-f0-9]{8,})\.\w+$")  # in the name of a file, by torch's convention


class WeightsFile(ABC):
    """A file of pretrained weights."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """Where it is, or would be."""

    @property
    @abstractmethod
    def advice(self) -> str:
        """How one comes by it where there is no network."""

    @property
    def mend(self) -> str:
        """What to do where its content is not what its name says."""
        return "delete it to have it downloaded again"

    @property
    def sha256(self) -> str:
        """The first digits of its SHA-256, where its name holds them, or ""."""
        found = _HASH.search(self.path.name)
        return found[1] if found else ""

    @abstractmethod
    def download(self) -> None:
        """Put it there.

        Raises:
            OSError: where that cannot be done.
        """


@dataclass(frozen=True)
class UrlFile(WeightsFile):
    """A file that torch downloads into its cache.

    Attributes:
        url: of the file.
    """

    url: str

    @property
    def path(self) -> Path:
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(self.url).path).name

    @property
    def advice(self) -> str:
        return f"put them at {self.path}"

    def download(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(self.url, str(self.path), hash_prefix=self.sha256 or None, progress=False)
        except RuntimeError as error:  # the content is not what the name says
            raise OSError(str(error)) from error


@dataclass(frozen=True)
class HubFile(WeightsFile):
    """The weights in a repository on Hugging Face's hub, kept in the cache of its library.

    Attributes:
        repository: such as `timm/resnet18.a1_in1k`.
    """

    repository: str
    name: ClassVar[str] = "model.safetensors"

    @property
    def path(self) -> Path:
        from huggingface_hub import constants, try_to_load_from_cache

        found = try_to_load_from_cache(self.repository, self.name)
        if isinstance(found, str):
            return Path(found)
        # Where the cache knows no commit of the repository, the library takes a file from here too.
        folder = f"models--{self.repository.replace('/', '--')}"
        return Path(constants.HF_HUB_CACHE) / folder / "snapshots" / "main" / self.name

    @property
    def advice(self) -> str:
        return f"put {self.name} of huggingface.co/{self.repository} at {self.path}"

    def download(self) -> None:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import HTTPError
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        try:
            # Asked once, since the download itself tries to reach the hub six times, with waits in between.
            get_hf_file_metadata(hf_hub_url(self.repository, self.name), timeout=PATIENCE_SECONDS)
            hf_hub_download(self.repository, self.name)
        except HTTPError as error:
            raise OSError(str(error)) from error


@dataclass(frozen=True)
class PackagedFile(WeightsFile):
    """A file in a Python package that holds weights alone.

    Attributes:
        package: as pip knows it; its module has underscores in the place of dashes.
        file: path within the module.
    """

    package: str
    file: str

    @property
    def path(self) -> Path:
        module = self.package.replace("-", "_")
        spec = importlib.util.find_spec(module)
        folders = spec.submodule_search_locations if spec is not None else None
        return Path(*folders[:1] if folders else [module]) / self.file

    @property
    def advice(self) -> str:
        return f"pip install {self.package}"

    @property
    def mend(self) -> str:
        return f"pip install --force-reinstall {self.package}"

    def download(self) -> None:
        raise OSError(f"{self.package} is not installed, which is left to the user")
