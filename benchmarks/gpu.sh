#!/usr/bin/env bash
# The first run on a machine with a GPU: 20 problems of suites/math500.yaml, every strategy.
#
#   bash benchmarks/gpu.sh                                  # models and data from the hub
#   POLICY=./policy VERIFIER=./prm DATA=./math500.jsonl bash benchmarks/gpu.sh      # from folders
#
# Makes a virtual environment with vLLM in .venv-gpu, says what the run would take, runs it, and puts
# what can be published (the run without its texts) into results/reference/math500_gpu.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v nvidia-smi >/dev/null || { echo "no NVIDIA GPU here (nvidia-smi is missing)" >&2; exit 2; }
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv

if [ ! -x .venv-gpu/bin/tts-bench ]; then
  "${PYTHON:-python3}" -m venv .venv-gpu
  .venv-gpu/bin/python -m pip install --quiet --upgrade pip
  .venv-gpu/bin/python -m pip install --quiet --editable '.[vllm]'
fi

options=(--limit "${LIMIT:-20}" --set name=math500_gpu)
[ -z "${POLICY:-}" ] || options+=(--model "$POLICY")
[ -z "${VERIFIER:-}" ] || options+=(--set "verifier.model=$VERIFIER")
[ -z "${DATA:-}" ] || options+=(--set "dataset.path=$DATA")

.venv-gpu/bin/tts-bench run suites/math500.yaml "${options[@]}" --dry-run
.venv-gpu/bin/tts-bench run suites/math500.yaml "${options[@]}"

target=results/reference/math500_gpu
mkdir -p "$target"
for file in manifest.json suite.yaml attempts.jsonl measurements.jsonl summary.json table.md table.csv; do
  cp "results/math500_gpu/latest/$file" "$target/"
done
cp results/math500_gpu/latest/*.png "$target/"
echo "figures and tables are in $target"
