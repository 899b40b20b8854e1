"""The model host: one process that holds the real models for all workers of a test run.

`HostClient` finds or starts it and gives pipelines that behave as local ones; `python -m modelenv.host` is the
process itself. Workers never import torch.
"""

from __future__ import annotations
