package difftest

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"sync"

	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// hostTypes is the BTF of the running kernel, in which programs that it is given
// name its types; nil where it cannot be read.
var hostTypes = sync.OnceValue(func() *btf.Spec {
	raw, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	if err != nil {
		return nil
	}
	s, err := types.Load(raw)
	if err != nil {
		return nil
	}
	return s
})

// hostSymbols are the names in /proc/kallsyms, nil where it cannot be read.
var hostSymbols = sync.OnceValue(func() map[string]bool {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil
	}
	defer f.Close()
	names := make(map[string]bool)
	lines := bufio.NewScanner(f)
	for lines.Scan() { // address type name [module]
		if w := strings.Fields(lines.Text()); len(w) > 2 {
			names[w[2]] = true
		}
	}
	return names
})

// hostSymbol reports whether the running kernel tells the address of a variable.
func hostSymbol(name string) bool {
	names := hostSymbols()
	return names == nil || names[name]
}

// hostCPUs is how many CPUs the machine can have at most, which bounds what
// bpf_get_smp_processor_id may return; 0 where that cannot be read.
var hostCPUs = sync.OnceValue(func() int {
	text, err := os.ReadFile("/sys/devices/system/cpu/possible") // "0-7"
	if err != nil {
		return 0
	}
	list := strings.TrimSpace(string(text))
	last, err := strconv.Atoi(list[strings.LastIndexAny(list, "-,")+1:])
	if err != nil {
		return 0
	}
	return last + 1
})
