# What .ci/run and .ci/long share: versions, stages, the tools that tests need. Sourced.

staticcheck_version=v0.8.2
ort_version=1.27.0
onnx_version=1.22.0

cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools=$work/tools
mkdir -p "$tools"

stage() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }
fail() { echo "$*" >&2; exit 1; }

check_format() {
  local unformatted
  unformatted=$(gofmt -l $(git ls-files '*.go'))
  [ -z "$unformatted" ] || fail "not gofmt-clean: $unformatted"
}

build_all() {
  CGO_ENABLED=1 go build ./...
  CGO_ENABLED=0 go build ./...
  go build -tags noasm ./...
  GOARCH=arm64 CGO_ENABLED=0 go build ./...
  GOOS=windows GOARCH=amd64 CGO_ENABLED=0 go build ./...
  GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go build ./...
  GOARCH=386 CGO_ENABLED=0 go build ./qat/frozen
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get "$@" >"$work/apt.log" 2>&1 || { tail "$work/apt.log"; return 1; }; }

# install_tools gets what tests need beside Go; tests skip where it is missing, and
# here nothing is to be skipped.
install_tools() {
  local missing=
  command -v protoc >/dev/null || missing="$missing protobuf-compiler"
  command -v qemu-aarch64-static >/dev/null && command -v qemu-x86_64-static >/dev/null || missing="$missing qemu-user-static"
  /usr/bin/python3 -c 'import numpy, torch' 2>/dev/null || missing="$missing python3-numpy python3-torch"
  if [ -n "$missing" ]; then
    apt_get update
    apt_get install -y --no-install-recommends $missing
  fi
  if [ -z "${ORT_NODE:-}" ]; then
    mkdir -p "$work/ort"
    (cd "$work/ort" && npm install --ignore-scripts --no-audit --no-fund "onnxruntime-node@$ort_version" >/dev/null)
    export ORT_NODE=$work/ort/node_modules/onnxruntime-node
  fi
  if [ -z "${GOQAT_ONNX_BACKEND:-}" ]; then # ONNX's own tests of operators
    python3 -m pip --version >/dev/null 2>&1 || { apt_get update; apt_get install -y --no-install-recommends python3-pip; }
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/onnx" "onnx==$onnx_version"
    export GOQAT_ONNX_BACKEND=$work/onnx/onnx/backend/test/data
  fi
  if [ -f ../shared/check/mlpkg_check.py ]; then
    GOQAT_MLPKG_CHECK=$(cd ../shared/check && pwd)/mlpkg_check.py
    export GOQAT_MLPKG_CHECK
  fi
}

# The engine at times reports its own time limit as a failure (golang/go#75804): that is
# one only if there is an input that fails.
fuzz() {
  if ! go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" -fuzzminimizetime 10x "$1" >"$work/fuzz.log" 2>&1; then
    if ! grep -q '^ *context deadline exceeded$' "$work/fuzz.log" || grep -q 'Failing input written' "$work/fuzz.log"; then
      cat "$work/fuzz.log"
      return 1
    fi
  fi
  tail -n 2 "$work/fuzz.log"
}

# fuzz_all gives every fuzz target of the module the time $1.
fuzz_all() {
  local pkg target
  for pkg in $(go list ./...); do
    for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
      echo "$pkg $target"
      fuzz "$pkg" "$target" "$1"
    done
  done
}

same_bits() { go test -count=1 -v -run '^TestSameBits$' "$@" ./train | grep -E '^ *levels_test.go:[0-9]+: sum '; }
