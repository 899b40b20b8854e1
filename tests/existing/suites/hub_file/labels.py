import json
from pathlib import Path

from huggingface_hub import hf_hub_download


def labels(name):
    config = json.loads(Path(hf_hub_download(name, "config.json")).read_text())
    return sorted(config["id2label"].values())
