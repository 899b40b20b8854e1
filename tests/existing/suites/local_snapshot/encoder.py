from huggingface_hub import snapshot_download


def fetch(folder):
    return snapshot_download("acme/embedder", local_dir=folder)


def load(folder):
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder)
