"""modelenv: the same Hugging Face model code, unchanged, in a unit test, on a laptop, in CI and in production.

    from modelenv import SmartModelManager

    classify = SmartModelManager().load_model("ProsusAI/finbert", "sentiment")
    classify("Bitcoin price surge")

The names below are imported on first use: `import modelenv` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; importing typing would take longer than all of this
if TYPE_CHECKING:
    from typing import Any

    from modelenv.environment.detection import Explanation, Finding, detect_environment, explain_environment
    from modelenv.environment.settings import Settings
    from modelenv.environment.sources import ModelSource
    from modelenv.errors import (
        ConfigurationError,
        LockfileError,
        ModelDownloadError,
        ModelEnvError,
        ModelFallbackWarning,
        ModelHostError,
        ModelIntegrityError,
        ModelLoadTimeoutError,
        ModelNotFoundError,
        NoSpaceError,
        UnexpectedModelAccessError,
        UnsafeModelError,
    )
    from modelenv.fakes import fake_pipeline
    from modelenv.forcing import force_environment
    from modelenv.interception.install import Installation, install, uninstall
    from modelenv.loading.reports import LoadReport, ManagerStatus, ModelStatus
    from modelenv.manager import SmartModelManager

    model_manager: SmartModelManager
    __version__: str

_HOMES = {
    "modelenv.errors": (
        "ConfigurationError", "LockfileError", "ModelDownloadError", "ModelEnvError", "ModelFallbackWarning",
        "ModelHostError", "ModelIntegrityError", "ModelLoadTimeoutError", "ModelNotFoundError", "NoSpaceError",
        "UnexpectedModelAccessError", "UnsafeModelError",
    ),
    "modelenv.fakes": ("fake_pipeline",),
    "modelenv.forcing": ("force_environment",),
    "modelenv.interception.install": ("Installation", "install", "uninstall"),
    "modelenv.manager": ("SmartModelManager",),
    "modelenv.loading.reports": ("LoadReport", "ManagerStatus", "ModelStatus"),
    "modelenv.environment.settings": ("Settings",),
    "modelenv.environment.detection": ("Explanation", "Finding", "detect_environment", "explain_environment"),
    "modelenv.environment.sources": ("ModelSource",),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ConfigurationError",
    "Explanation",
    "Finding",
    "Installation",
    "LoadReport",
    "LockfileError",
    "ManagerStatus",
    "ModelDownloadError",
    "ModelEnvError",
    "ModelFallbackWarning",
    "ModelHostError",
    "ModelIntegrityError",
    "ModelLoadTimeoutError",
    "ModelNotFoundError",
    "ModelSource",
    "ModelStatus",
    "NoSpaceError",
    "Settings",
    "SmartModelManager",
    "UnexpectedModelAccessError",
    "UnsafeModelError",
    "__version__",
    "detect_environment",
    "explain_environment",
    "fake_pipeline",
    "force_environment",
    "install",
    "model_manager",
    "uninstall",
]


def __getattr__(name: str) -> Any:
    value: Any
    if name in _HOME_OF:
        from importlib import import_module

        value = getattr(import_module(_HOME_OF[name]), name)
    elif name == "model_manager":
        # The import system's lock sees to it that threads which come here together get one manager.
        from modelenv.default import model_manager as value
    elif name == "__version__":
        from importlib.metadata import version

        value = version("modelenv")
    else:
        raise AttributeError(f"module 'modelenv' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
