"""Builds pipelines in the model host. A pipeline that cannot be built there is built in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelenv.deadlines import Deadline
from modelenv.host.client import HostClient
from modelenv.host.messages.pickling import CannotCrossError
from modelenv.host.proxy import HostedPipeline
from modelenv.host.recipes import recipe_of
from modelenv.loading.build import load_pipeline
from modelenv.loading.spec import ModelSpec

_LOCAL_SECONDS = 300.0  # for a pipeline that is needed in this process later, when its deadline no longer applies


@dataclass(frozen=True)
class HostBuilder:
    """Builds pipelines like `modelenv.loading.build.load_pipeline`, but in a host.

    Attributes:
        client: The client of the host.
        on_local: Called with the model's name and the reason if the model is loaded in this process instead.
    """

    client: HostClient
    on_local: Callable[[str, str], None]

    def __call__(self, spec: ModelSpec, deadline: Deadline) -> Any:
        """Return a pipeline that runs in the host. The host loads it if it does not hold it yet.

        Raises:
            ModelHostError: The host ended, or could not be started.
            ModelEnvError: The load failed, as in `load_pipeline`.
        """
        try:
            recipe = recipe_of(spec)
            self.client.build(recipe, deadline)
        except CannotCrossError as error:
            self.on_local(spec.model, f"an argument cannot be sent to the host: {error}")
            return load_pipeline(spec, deadline)
        return HostedPipeline(
            self.client,
            recipe,
            lambda: load_pipeline(spec, Deadline(_LOCAL_SECONDS)),
            lambda reason: self.on_local(spec.model, reason),
        )
