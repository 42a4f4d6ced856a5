#!/usr/bin/env bash
# build.sh [OUT]: compiles every object of objects.txt with clang-19 into OUT (by
# default beside the sources) and writes the compiler's version to OUT/compiler.txt.
# The same compiler gives the same bytes wherever it runs: sources are named
# relative to this directory, and no path of the machine gets into an object.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$here"
CLANG=${CLANG:-clang-19}
LLVM_STRIP=${LLVM_STRIP:-llvm-strip-19}
common=(-O2 -target bpf -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unused-const-variable
	-nostdinc -fno-ident -ffile-compilation-dir=. -Iinclude)

while read -r object source _ dwarf flags; do
	[[ -z $object || $object == \#* ]] && continue
	mkdir -p "$out/$(dirname "$object")"
	debug=-g
	[[ $dwarf == none ]] && debug=-g0
	# shellcheck disable=SC2086 # flags is a list of words
	"$CLANG" "${common[@]}" $debug $flags -c "$source" -o "$out/$object"
	[[ $dwarf == strip ]] && "$LLVM_STRIP" -g "$out/$object"
	if grep -aqF "$PWD" "$out/$object"; then
		echo "build.sh: $object holds the path $PWD" >&2
		exit 1
	fi
done <objects.txt
"$CLANG" --version | head -n 1 >"$out/compiler.txt"
