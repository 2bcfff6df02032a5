"""Configuration: merge the parameters of files and of the command line."""

from functools import cached_property
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from erasediff_pipeline.config.files import check_environment, check_folder
from erasediff_pipeline.parameters import fill_in

FORMS = {"classes", "ids_file", "prompts"}
"""The forms of a request; they exclude each other."""


class ProjectConfigLoader(OmegaConfigLoader):
    """Merge parameters key by key, except that a request of the command line replaces that of the files.

    So ``--params=forget.ids_file=…`` is not merged with the classes of ``conf/base``. Templates and anchor of
    a request by prompts stay, unless the command line sets them, too.
    The catalog may use any parameter, as in ``${parameter:base}``, and the name of the list of prompts,
    ``${prompt_list:}``.
    An environment with ``extends: <environment>`` in ``globals.yml`` inherits the parameters of that one.
    """

    def __getitem__(self, key: str) -> Any:
        _ = self._checked  # no assert, which `python -O` leaves out
        # Resolvers belong to the process, and Kedro keeps the first: each session needs its own.
        OmegaConf.register_new_resolver("parameter", self._parameter, replace=True)
        OmegaConf.register_new_resolver("prompt_list", self._prompt_list, replace=True)
        parents = self._parents() if key == "parameters" else []
        if parents:
            chain = [self.base_env, *parents, self.env or self.default_run_env]
            value: Any = OmegaConf.to_container(OmegaConf.merge(*(self._read(key, name) for name in chain)))
        else:
            value = super().__getitem__(key)
        given = (self.runtime_params or {}).get("forget")
        if key == "parameters" and isinstance(given, dict) and FORMS & set(given):
            kept = value["forget"].items()
            value["forget"] = {k: v for k, v in kept if k in given or k not in FORMS}
        return fill_in(value) if key == "parameters" else value

    def catalog_of_any_run(self) -> dict[str, Any]:
        """Return the catalog with ``*`` in place of models and lists of prompts that parameters name.

        Only ``base`` stays ``base``: the base model is always trained there.
        """
        known = {"base": "base"}
        OmegaConf.register_new_resolver("parameter", lambda name: known.get(name, "*"), replace=True)
        OmegaConf.register_new_resolver("prompt_list", lambda: "*", replace=True)
        return super().__getitem__("catalog")

    @cached_property
    def _checked(self) -> bool:
        """Refuse files that Kedro would misread or skip, once for each run."""
        for name in (self.base_env, self.env or self.default_run_env):
            check_folder(Path(self.conf_source) / name, self.config_patterns)
        own = Path(self.conf_source) / (self.env or self.default_run_env)
        if own.is_dir() and own.name not in (self.base_env, self.default_run_env):
            check_environment(own)
        return True

    def _parents(self) -> list[str]:
        """The environments that this one extends, the most general first."""
        parents: list[str] = []
        name = self["globals"].get("extends")
        while name and name not in parents:
            parents.insert(0, name)
            name = self._read("globals", name).get("extends")
        return parents

    def _read(self, key: str, environment: str) -> dict[str, Any]:
        """The files of one environment, with what was given on the command line."""
        folder = str(Path(self.conf_source) / environment)
        return self.load_and_merge_dir_config(folder, self.config_patterns[key], key, set())

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        """Parameters, read once: the catalog uses about 24, and each read takes 0.1 seconds."""
        return self["parameters"]

    def _parameter(self, name: str) -> Any:
        value = self._parameters
        for part in name.split("."):
            value = value[part]
        return value

    def _prompt_list(self) -> str:
        return Path(str(self._parameter("prompts.file"))).stem
