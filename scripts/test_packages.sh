#!/bin/sh
# ONNX Runtime for the tests (npm's onnxruntime-node), into the build folder given: scripts/test_packages.sh build. Nothing but
# tests uses it; without npm or network they skip.
set -eu
folder=$1/node
[ -d "$folder/node_modules/onnxruntime-node" ] && exit 0
if ! command -v npm >/dev/null; then
  echo "test packages: no npm; tests with ONNX Runtime are skipped" >&2
  exit 0
fi
mkdir -p "$folder"
# Its install script would fetch GPU libraries.
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error onnxruntime-node@1 >/dev/null 2>&1 ||
  echo "test packages: npm cannot fetch onnxruntime-node; tests with ONNX Runtime are skipped" >&2
# The package carries four systems; the tests need this one.
find "$folder/node_modules/onnxruntime-node/bin" -mindepth 2 -maxdepth 2 -type d ! -name linux -exec rm -rf {} + 2>/dev/null || true
