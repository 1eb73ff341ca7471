#!/bin/bash
# Everything that needs an NVIDIA GPU, in one run. Where Go is:
#
#   bench/gpu.sh build [FILE]        tests, benchmarks and the trainer, as one archive (gpu.tar.gz)
#
# Where the GPU is, in a copy of the repository, without Go:
#
#   bench/gpu.sh run [FILE [DIR]]    all stages; logs, gpu.json and gpu.md go to DIR (gpu-results)
#
# Every stage has a limit of its own, none stops the others, and all together take no longer than BUDGET seconds (480). Environment of run:
#
#   STAGES    which stages to run, by name (all)
#   PYTHON    an interpreter with PyTorch (python3)
#   PEERS     a directory with torch_dino.py, the training step in PyTorch; without it those stages are skipped
#   DATA      CIFAR-10 as a tar of images in train/ and test/ with class folders; without it that stage is skipped
#   DRY=1     tries the script out where there is no GPU: tests and benchmarks on the interpreter, a step or two of training on the CPU
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
say() { printf 'gpu.sh: %s\n' "$*" >&2; }

build() {
    set -e
    local file tmp package
    file=$(realpath -m "${1:-gpu.tar.gz}")
    tmp=$(mktemp -d)
    # shellcheck disable=SC2064 # tmp is gone when the trap runs
    trap "rm -rf '$tmp'" EXIT
    cd "$root"
    export CGO_CFLAGS="-I$root/kernels/cuda/include"
    for package in kernels/cuda tensor autograd nn dino bench; do
        go test -c -tags cuda -trimpath -ldflags '-s -w' -o "$tmp/$(basename $package).test" "./$package"
    done
    go build -tags cuda -trimpath -ldflags '-s -w' -o "$tmp/dino" ./cmd/dino
    { git rev-parse HEAD && git status --porcelain -- '*.go' '*.cu' '*.cuh' '*.ptx' '*.c' '*.h'; } >"$tmp/commit"
    tar -C "$tmp" -czf "$file" .
    ls -lh "$file" >&2
}

# stage NAME LIMIT COMMAND...: runs it for at most LIMIT seconds, less where the budget ends, and notes how it ended.
stage() {
    local name=$1 limit=$2 left begin=$SECONDS status=0
    shift 2
    case " ${STAGES:-$name} " in *" $name "*) ;; *) return 0 ;; esac
    left=$((budget - SECONDS))
    [ $left -ge 5 ] || { skip "$name" "the budget of $budget s was spent"; return 0; }
    [ "$limit" -le $left ] || limit=$left
    say "$name, at most $limit s"
    date +%s >"$out/$name.begin"
    ( export -f "${functions[@]}"; timeout -k 5 "$limit" "$@" ) >"$out/$name.log" 2>&1 || status=$?
    date +%s >"$out/$name.end"
    printf '%s\t%d\t%d\t%d\t\n' "$name" $status $((SECONDS - begin)) "$limit" >>"$out/stages.tsv"
    [ $status = 0 ] || say "$name ended with status $status: $(tail -n 1 "$out/$name.log")"
    return 0
}
skip() {
    case " ${STAGES:-$1} " in *" $1 "*) ;; *) return 0 ;; esac
    say "$1: skipped: $2"
    printf '%s\t-1\t0\t0\t%s\n' "$1" "$2" >>"$out/stages.tsv"
}

# Stages of more than a command are functions, each run by a bash of its own.
functions=(in_package layers sanitize steps peer_steps cifar)
in_package() { # in_package PACKAGE ARGUMENT...: runs its test binary there
    local package=$1
    shift
    cd "$root/$package" && "$bin/$(basename "$package").test" -test.timeout 10m "$@"
}
layers() {
    local failed=0 package
    for package in tensor autograd nn dino; do
        # shellcheck disable=SC2086 # short is a flag or nothing
        in_package $package -test.run 'GPU|Uncropped' -test.v $short || failed=1
    done
    return $failed
}
sanitize() {
    local failed=0 tool
    for tool in memcheck racecheck; do
        compute-sanitizer --tool $tool --error-exitcode 9 "$bin/cuda.test" -test.run "$sanitized" -test.v || failed=1
    done
    return $failed
}
steps() { # steps ARCH: each batch size in a process, until one fails; the first has to be done
    local arch=$1 batch done=0
    for batch in 64 128 192 256 384 512; do
        in_package bench -test.run '^$' -test.bench "^BenchmarkGPUStep\$/^${arch}_patch16/^batch=$batch\$" -test.benchtime 20x || break
        done=$batch
    done
    echo "# largest batch done: $done"
    [ $done -gt 0 ]
}
peer_steps() { # peer_steps ARCH BATCH...
    local arch=$1 batch failed=0
    shift
    for batch in "$@"; do
        "$PYTHON" "$PEERS/torch_dino.py" step --device cuda --bf16 --compile --arch "$arch" --batch "$batch" --warmup 5 --steps 20 || failed=1
    done
    return $failed
}
cifar() { # cifar SECONDS DEVICE FLAG...: trains that long, which Ctrl-C ends, and scores
    local seconds=$1 device=$2 run
    shift 2
    run=$(mktemp -d)
    timeout -s INT -k 30 "$seconds" "$bin/dino" train --data_path "$DATA" --output_dir "$run" --device "$device" --arch vit_tiny --patch_size 4 \
        --global_crops_size 32 --local_crops_size 16 --out_dim 4096 --batch_size_per_gpu 256 --epochs 100 --knn_freq 0 "$@"
    cp "$run/log.jsonl" "$out/cifar.jsonl"
    "$bin/dino" knn --pretrained_weights "$run/checkpoint.safetensors" --data_path "$DATA" --device "$device" --json
    local status=$?
    rm -rf "$run"
    return $status
}

run() {
    local file out_arg dry=${DRY:-0} device=cuda
    file=$(realpath "${1:-gpu.tar.gz}") || exit 2
    [ -e "$file" ] || { say "there is no $file: bench/gpu.sh build makes it where Go is"; exit 2; }
    out_arg=${2:-gpu-results}
    mkdir -p "$out_arg"
    out=$(realpath "$out_arg") budget=${BUDGET:-480} PYTHON=${PYTHON:-python3}
    bin=$(mktemp -d)
    trap 'kill $watch $warm 2>/dev/null; rm -rf "$bin"' EXIT
    watch='' warm=''
    tar -C "$bin" -xzf "$file"
    cp "$bin/commit" "$out/commit"
    rm -f "$out"/*.log "$out"/*.begin "$out"/*.end
    : >"$out/stages.tsv"
    sanitized='Fill|LayerNorm|GELU|CenteredSoftmax|DropPath'
    short=''
    export root bin out short PYTHON PEERS DATA sanitized TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-$bin/inductor}"
    if [ "$dry" = 1 ]; then
        device=cpu short=-test.short
    else
        export GODINO_CUDA_TEST=hardware
        nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu,memory.used --format=csv,noheader,nounits -l 1 >"$out/clocks.csv" 2>/dev/null &
        watch=$!
    fi

    stage machine 20 bash -c "$bin/dino doctor --seconds 0; nvidia-smi; nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit,memory.total --format=csv,noheader >'$out/gpu.csv'; $PYTHON -c 'import torch; print(\"PyTorch\", torch.__version__)'; nproc; true"
    # Compiling is for the CPU and takes PyTorch longest: it is done beside the tests, and its result kept.
    if [ "$dry" != 1 ] && [ -n "${PEERS:-}" ]; then
        for arch in vit_small vit_base; do
            timeout 150 "$PYTHON" "$PEERS/torch_dino.py" step --device cuda --bf16 --compile --arch $arch --batch 64 --warmup 1 --steps 1 >"$out/warm-$arch.log" 2>&1 &
            warm="$warm $!"
        done
    fi
    stage conformance-sm80 90 env GODINO_CUDA=sm_80 bash -c "in_package kernels/cuda -test.v $short"
    stage conformance 90 bash -c "in_package kernels/cuda -test.v $short"
    stage layers 90 bash -c layers
    if command -v compute-sanitizer >/dev/null; then
        stage sanitizer 45 bash -c sanitize
    else
        skip sanitizer "there is no compute-sanitizer in PATH"
    fi
    # shellcheck disable=SC2086 # a list
    [ -z "$warm" ] || wait $warm
    stage kernels 60 bash -c "in_package kernels/cuda -test.run '^\$' -test.bench Operations -test.benchtime $([ "$dry" = 1 ] && echo 1x || echo 50x)"
    if [ "$dry" = 1 ]; then
        stage torch-kernels 60 "$PYTHON" "$here/gpu/torch_kernels.py" --device cpu --small --repeat 1
        stage step-vit_small 60 bash -c "in_package bench -test.run '^\$' -test.bench GPUStep -test.benchtime 1x"
    else
        stage torch-kernels 60 "$PYTHON" "$here/gpu/torch_kernels.py"
        stage step-vit_small 50 bash -c "steps vit_small"
        stage step-vit_base 50 bash -c "steps vit_base"
    fi
    if [ -n "${PEERS:-}" ] && [ "$dry" != 1 ]; then
        stage peer-vit_small 60 bash -c "peer_steps vit_small 64 $(largest vit_small)"
        stage peer-vit_base 60 bash -c "peer_steps vit_base 64 $(largest vit_base)"
    else
        skip peer-vit_small "PEERS names no directory with torch_dino.py, or there is no GPU"
        skip peer-vit_base "PEERS names no directory with torch_dino.py, or there is no GPU"
    fi
    local left=$((budget - SECONDS - 30)) flags=""
    if [ -z "${DATA:-}" ]; then
        skip cifar "DATA names no tar"
    elif [ $left -lt 20 ]; then
        skip cifar "the budget of $budget s was spent"
    else
        if [ "$dry" = 1 ]; then left=20 flags="--max_images 600 --batch_size_per_gpu 8 --arch vit:dim=32,depth=1,heads=1 --out_dim 64"; fi
        stage cifar $((left + 30)) bash -c "cifar $left $device $flags"
    fi
    "$PYTHON" "$here/gpu/report.py" "$out"
}
# largest ARCH: the largest batch that our step could do, if it was not the first.
largest() { sed -n 's/^# largest batch done: //p' "$out/step-$1.log" 2>/dev/null | grep -v '^\(0\|64\)$'; }

case ${1:-} in
build) shift && build "$@" ;;
run) shift && run "$@" ;;
*) usage ;;
esac
