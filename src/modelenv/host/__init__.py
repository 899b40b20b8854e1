"""The model host: one process that holds the real models for all workers of a test run.

`HostClient` finds or starts the host. `HostBuilder` returns pipelines that behave like local ones. The process itself
is `python -m modelenv.host`. Workers never import torch.
"""

from __future__ import annotations
