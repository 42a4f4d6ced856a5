// Command corpus measures how bpfvm reads the eBPF objects of a folder: how many
// of those that cilium/ebpf and libbpf open, whether it links their programs slot
// by slot as cilium/ebpf does, and what it refuses, by reason.
//
//	go run ./internal/tools/corpus [-btf host|FILE] [-bpftool PATH] [-v] DIR...
//
// libbpf is asked through bpftool ("bpftool gen skeleton" opens an object and does
// not load it), where there is one. The exit status is 1 when an object that
// another library opens cannot be opened, or a program differs.
package main

import (
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"bpfvm/internal/tools/corpus/judge"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

func main() {
	opts := options{}
	flag.StringVar(&opts.btf, "btf", "", "types to relocate against: host or a `FILE` (default: the built-in ones)")
	flag.StringVar(&opts.bpftool, "bpftool", "", "the bpftool to ask libbpf with (default: the one in PATH, if any; none: do not ask)")
	flag.BoolVar(&opts.verbose, "v", false, "name every object and program behind a count")
	flag.Parse()
	ok, err := run(os.Stdout, opts, flag.Args())
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

type options struct {
	btf, bpftool string
	verbose      bool
}

func run(w io.Writer, opts options, dirs []string) (ok bool, err error) {
	target, err := targetTypes(opts.btf)
	if err != nil {
		return false, err
	}
	if len(dirs) == 0 {
		return false, fmt.Errorf("no folder named")
	}
	var paths []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && path != dir && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir // what the corpus was built from
			}
			if !d.IsDir() && (strings.HasSuffix(path, ".o") || strings.HasSuffix(path, ".elf")) {
				paths = append(paths, path)
			}
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	r := newReport(opts.verbose)
	bpftool := findBpftool(opts.bpftool)
	if bpftool != "" {
		r.libbpf = libbpfVersion(bpftool)
	}
	results := make([]result, len(paths))
	var wg sync.WaitGroup
	next := make(chan int)
	for range 2 {
		wg.Go(func() {
			for i := range next {
				results[i] = look(paths[i], target, bpftool)
			}
		})
	}
	for i := range paths {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, res := range results {
		if res.err != nil {
			return false, res.err
		}
		r.add(res)
	}
	r.write(w)
	return r.good(), nil
}

// result is one object with what libbpf says to it.
type result struct {
	*judge.Object
	libbpf error
	err    error // of reading the file
}

func look(path string, target *btf.Spec, bpftool string) result {
	o, err := judge.Judge(path, target)
	res := result{Object: o, err: err}
	if bpftool != "" && err == nil {
		res.libbpf = askLibbpf(bpftool, path)
	}
	return res
}

// targetTypes reads the types that CO-RE is computed against.
func targetTypes(name string) (*btf.Spec, error) {
	switch name {
	case "":
		return types.Target()
	case "host":
		name = "/sys/kernel/btf/vmlinux"
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return types.Load(raw)
}

func findBpftool(path string) string {
	switch path {
	case "none":
		return ""
	case "":
		path, _ = exec.LookPath("bpftool")
	}
	return path
}

// libbpfVersion names the bpftool and its libbpf.
func libbpfVersion(bpftool string) string {
	out, err := exec.Command(bpftool, "version").Output()
	if err != nil {
		return "version unknown"
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[:min(2, len(lines))], ", ")
}

// askLibbpf opens an object with libbpf. The skeleton is named by us, since the
// object's own name may be none for C.
func askLibbpf(bpftool, path string) error {
	out, err := exec.Command(bpftool, "gen", "skeleton", path, "name", "x").CombinedOutput()
	if err == nil {
		return nil
	}
	lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	if len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%s", lines[0])
}
