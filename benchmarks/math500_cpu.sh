#!/usr/bin/env bash
# From a bare model to curves on a CPU: suites/math500_cpu.yaml with a verifier of its policy's own making.
#
#   bash benchmarks/math500_cpu.sh                           # MATH-500 from the hub
#   DATA=./math500.jsonl bash benchmarks/math500_cpu.sh      # from a file
#
# 93 problems of levels 1 and 2 give solutions, those that were solved sometimes give step labels by
# rollouts, a PRM is trained on these, and the other 40 problems are run. Every step goes on where it
# was stopped. About three hours on two cores with AVX-512; more without (bfloat16 is emulated).
set -euo pipefail
cd "$(dirname "$0")/.."

work=build/math500_cpu
options=()
[ -z "${DATA:-}" ] || options+=(--set "dataset.path=$DATA")
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(nproc)}"

[ -f models/SmolLM2-135M-Instruct/config.json ] || make models/SmolLM2-135M-Instruct/config.json
PATH="$PWD/.venv/bin:$PATH"

tts-bench run benchmarks/math500_cpu/samples.yaml "${options[@]}" -o "$work"
python benchmarks/math500_cpu/mixed.py "$work/math500_cpu_samples/latest" "$work/solutions.jsonl"
tts-bench label mc benchmarks/math500_cpu/samples.yaml "${options[@]}" --solutions "$work/solutions.jsonl" \
  -k 4 --output "$work/labels.jsonl" -o "$work"
[ -f "$work/prm/config.json" ] || tts-bench train prm benchmarks/math500_cpu/prm.yaml
# With more searches in flight the verifier forgets what it has read before it is asked again.
tts-bench run suites/math500_cpu.yaml "${options[@]}" --concurrency 24
