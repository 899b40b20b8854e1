"""Builds pipelines in the model host instead of in this process; what cannot be built there is built here."""

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

_LOCAL_SECONDS = 300.0  # for a pipeline that is needed in this process after all, when no deadline is known any more


@dataclass(frozen=True)
class HostBuilder:
    """Builds pipelines as `modelenv.loading.build.load_pipeline` does, in a host.

    Attributes:
        client: asks the host.
        on_local: called with the model's name and the reason, when it is loaded in this process after all.
    """

    client: HostClient
    on_local: Callable[[str, str], None]

    def __call__(self, spec: ModelSpec, deadline: Deadline) -> Any:
        """Return the pipeline that the host holds for this spec, loaded there if it was not.

        Raises:
            ModelHostError: the host ended, or could not be started.
            ModelEnvError: as `load_pipeline`.
        """
        try:
            recipe = recipe_of(spec)
            self.client.build(recipe, deadline)
        except CannotCrossError as error:
            self.on_local(spec.model, f"an argument cannot cross: {error}")
            return load_pipeline(spec, deadline)
        return HostedPipeline(
            self.client,
            recipe,
            lambda: load_pipeline(spec, Deadline(_LOCAL_SECONDS)),
            lambda reason: self.on_local(spec.model, reason),
        )
