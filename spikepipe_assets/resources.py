"""The store as a Dagster resource."""

from __future__ import annotations

import dagster as dg

from spikepipe_assets.deployment import Deployment
from spikepipe_core.store import Store


class StoreResource(dg.ConfigurableResource):
    """Where outputs live and which params apply, as the deployment says.

    Assets return `MaterializeResult`: their data are too big to pass through an IO manager.
    """

    deployment: str = ""
    """The deployment as JSON, so that a step in another process or pod gets it with the run."""

    def open(self) -> tuple[Deployment, Store]:
        """The deployment and its store."""
        deployment = Deployment.model_validate_json(self.deployment)
        return deployment, deployment.store()
