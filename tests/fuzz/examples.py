"""A lock and a volume's metadata, as values and as texts."""

from __future__ import annotations

from modelenv.locks.project_lock import Lockfile
from modelenv.locks.values import LockedFile, LockedModel
from modelenv.volume.metadata import VolumeMetadata, VolumeModel

SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
WEIGHTS = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
BLOB = "6367c48dd193d56ea7b0baad25b19455e529f5ee"
COMMIT = "4556d13015211d73dccd3fdd39d39232506f3e43"
OTHER_COMMIT = "da39a3ee5e6b4b0d3255bfef95601890afd80709"

FINBERT = LockedModel(
    alias="finbert",
    repo="ProsusAI/finbert",
    revision=None,
    commit=COMMIT,
    task="sentiment",
    files=(
        LockedFile("config.json", 758, SHA, BLOB),
        LockedFile("model.safetensors", 437992753, WEIGHTS, WEIGHTS),
    ),
    facts={
        "architectures": ["BertForSequenceClassification"],
        "dropout": 1e-05,
        "hidden_size": 768,
        "is_cased": False,
        "labels": ["positive", "no", 'a "quoted"\nlabel', "Stärke 😀"],
        "problems": [],
    },
)
MINILM = LockedModel(
    alias="minilm",
    repo="sentence-transformers/all-MiniLM-L6-v2",
    revision="v2.0",
    commit=OTHER_COMMIT,
    task=None,
    files=(LockedFile("1_Pooling/config.json", 0, SHA, BLOB),),
    patterns=("*.json", "1_Pooling/*"),
)
LOCKFILE = Lockfile((FINBERT, MINILM))
METADATA = VolumeMetadata((VolumeModel(FINBERT, "ProsusAI/finbert"), VolumeModel(MINILM, MINILM.repo)))

LOCK_TEXT = f"""\
# Written by `modelenv lock`; review it in a diff, do not edit.
version = 1

[[models]]
alias = "finbert"
repo = "ProsusAI/finbert"
commit = "{COMMIT}"
task = "sentiment"
files = [
    {{ path = "config.json", size = 758, sha256 = "{SHA}", blob_id = "{BLOB}" }},
    {{ path = "model.safetensors", size = 437992753, sha256 = "{WEIGHTS}", blob_id = "{WEIGHTS}" }},
]

[models.facts]
architectures = ["BertForSequenceClassification"]
dropout = 1.0e-05
hidden_size = 768
is_cased = false
labels = ["positive", "no", "a \\"quoted\\"\\u000Alabel", "Stärke 😀"]
problems = []

[[models]]
alias = "minilm"
repo = "sentence-transformers/all-MiniLM-L6-v2"
revision = "v2.0"
commit = "{OTHER_COMMIT}"
patterns = ["*.json", "1_Pooling/*"]
files = [
    {{ path = "1_Pooling/config.json", size = 0, sha256 = "{SHA}", blob_id = "{BLOB}" }},
]
"""
METADATA_TEXT = f"""\
# The models on this volume. Written by `modelenv pull --to`, last of all: that this file is here means that the
# volume is complete. It is read and checked at every load; do not edit it.
version: 1
models:
  - alias: "finbert"
    repo: "ProsusAI/finbert"
    folder: "ProsusAI/finbert"
    commit: "{COMMIT}"
    task: "sentiment"
    facts:
      architectures:
        - "BertForSequenceClassification"
      dropout: 1.0e-05
      hidden_size: 768
      is_cased: false
      labels:
        - "positive"
        - "no"
        - "a \\"quoted\\"\\u000Alabel"
        - "Stärke 😀"
      problems: []
    files:
      - path: "config.json"
        size: 758
        sha256: "{SHA}"
        blob_id: "{BLOB}"
      - path: "model.safetensors"
        size: 437992753
        sha256: "{WEIGHTS}"
        blob_id: "{WEIGHTS}"
  - alias: "minilm"
    repo: "sentence-transformers/all-MiniLM-L6-v2"
    folder: "sentence-transformers/all-MiniLM-L6-v2"
    revision: "v2.0"
    commit: "{OTHER_COMMIT}"
    patterns:
      - "*.json"
      - "1_Pooling/*"
    files:
      - path: "1_Pooling/config.json"
        size: 0
        sha256: "{SHA}"
        blob_id: "{BLOB}"
"""
# The same values, in layouts that modelenv never writes.
OTHER_LOCK_TEXT = f"""\
# [[models]]
'version' = 1

[[ models ]]
repo = 'ProsusAI/finbert' # = [
"alias" = "finbert"
task = 'sentiment'
facts.dropout = 1e-5
facts . hidden_size = 7_68
facts.is_cased = false
facts.architectures = ['BertForSequenceClassification']
facts.labels = [
    'positive', # ]
    'no',
    "a \\"quoted\\"\\nlabel", "St\\u00E4rke 😀"
]
facts.problems = [ ]
commit = '{COMMIT}'

[[models.files]]
path = 'config.json'
size = 758
sha256 = '{SHA}'
blob_id = '{BLOB}'

[[models.files]]
path = 'model.safetensors'
size = 437992753
sha256 = '{WEIGHTS}'
blob_id = '{WEIGHTS}'

[[models]]
alias = 'minilm'
revision='v2.0'
patterns = [
    '*.json',
    '1_Pooling/*',
]
repo = 'sentence-transformers/all-MiniLM-L6-v2'
files = [{{ size = 0 , path = '1_Pooling/config.json', sha256 = '{SHA}', blob_id = '{BLOB}' }}]
commit = '{OTHER_COMMIT}'
"""
OTHER_METADATA_TEXT = f"""\
---
models:
- alias: 'finbert' # models:
  "repo": "ProsusAI/finbert"
  folder:
    "ProsusAI/finbert"
  task: 'sentiment'
  facts: {{architectures: ["BertForSequenceClassification"], dropout: 1.0e-05, hidden_size: 768,
    is_cased: false, labels: ['positive', 'no', "a \\"quoted\\"\\nlabel", "St\\xE4rke 😀"],
    problems: [],
  }}
  commit: '{COMMIT}'
  files:
  - {{path: 'config.json', size: 758, sha256: '{SHA}',
     blob_id: '{BLOB}'}}
  - path: 'model.safetensors'
    size: 437992753

    sha256: '{WEIGHTS}'
    blob_id: '{WEIGHTS}'
-
  alias: 'minilm'
  repo: 'sentence-transformers/all-MiniLM-L6-v2'
  folder: 'sentence-transformers/all-MiniLM-L6-v2'
  revision: 'v2.0'
  commit: '{OTHER_COMMIT}'
  patterns:
  - '*.json'
  - '1_Pooling/*'
  ? files
  : - {{"path": '1_Pooling/config.json', "size": 0, "sha256": '{SHA}', "blob_id": '{BLOB}'}}
version: 1
...
"""
