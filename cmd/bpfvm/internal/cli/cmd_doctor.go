package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func cmdDoctor() *command {
	return &command{
		name: "doctor", minor: true, short: "show what works here and what is missing",
		long: "Looks at this machine and says which parts of bpfvm can be used: engines, the kernel's " +
			"bpf(2), a compiler for eBPF, the terminal. It only looks: nothing is loaded, attached " +
			"or changed. Whatever it finds, the interpreter works, and the exit code is 0.",
		examples: []example{
			{"bpfvm doctor", "everything"},
			{"bpfvm doctor -p", "the same as JSON"},
			{"bpfvm doctor --plain", "one fact a line"},
		},
		seeAlso: []string{"version", "run"},
		json:    true,
		setup: func(a *app, _ *cobra.Command) func([]string) error {
			return func([]string) error {
				doc := a.examine()
				if a.jsonWanted() {
					a.writeJSON(doc)
					return nil
				}
				a.writeDoctor(doc)
				a.next = "bpfvm help run"
				return nil
			}
		},
	}
}

// doctorDoc is the document of "doctor".
type doctorDoc struct {
	docHead
	Build   versionDoc `json:"build"`
	Checks  []check    `json:"checks"`
	Engines []check    `json:"engines"`
}

// check is one thing looked at.
type check struct {
	Name  string `json:"name"`
	State string `json:"state"` // "yes", "no", "unknown"
	Found string `json:"found"`
	// Means says what follows from it for the user, where something does.
	Means string `json:"means,omitempty"`
}

const (
	stateYes     = "yes"
	stateNo      = "no"
	stateUnknown = "unknown"
)

// examine looks at everything.
func (a *app) examine() doctorDoc {
	return doctorDoc{
		docHead: head("doctor"),
		Build:   newVersionDoc(),
		Checks: []check{
			checkKernel(), checkBPF(), checkPrivilege(), checkBTF(), checkJITSysctl(),
			checkClang(), a.checkTerminal(), a.checkColour(),
		},
		Engines: engineChecks(),
	}
}

// engineChecks lists the engines that --engine names.
func engineChecks() []check {
	var out []check
	for _, e := range engines() {
		c := check{Name: e.name, State: stateYes, Found: e.what}
		if e.missing != "" {
			c.State, c.Means = stateNo, e.missing
		}
		out = append(out, c)
	}
	return out
}

func checkKernel() check {
	c := check{Name: "kernel", State: stateUnknown, Found: runtime.GOOS + "/" + runtime.GOARCH}
	if runtime.GOOS != "linux" {
		c.State = stateNo
		c.Means = "no Linux kernel to compare with; everything offline works"
		return c
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		c.State, c.Found = stateYes, "Linux "+strings.TrimSpace(string(b))+" "+runtime.GOARCH
	}
	return c
}

// checkBPF looks whether the kernel has bpf(2) at all, without calling it.
func checkBPF() check {
	c := check{Name: "bpf(2)", State: stateNo, Found: "none"}
	if runtime.GOOS != "linux" {
		return c
	}
	b, err := os.ReadFile("/proc/sys/kernel/unprivileged_bpf_disabled")
	if err != nil {
		c.State, c.Found = stateUnknown, "the kernel does not say"
		return c
	}
	c.State = stateYes
	switch strings.TrimSpace(string(b)) {
	case "0":
		c.Found = "open to every user"
	case "1":
		c.Found = "for root, until reboot"
	default:
		c.Found = "for root"
	}
	return c
}

// capBPF and capSysAdmin are bits of the effective capabilities
// (include/uapi/linux/capability.h); either lets a process load programs.
const (
	capSysAdmin = 21
	capBPF      = 39
)

func checkPrivilege() check {
	c := check{Name: "privilege", State: stateNo, Found: "none needed"}
	if runtime.GOOS != "linux" {
		return c
	}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return check{Name: c.Name, State: stateUnknown, Found: "no /proc"}
	}
	for l := range strings.SplitSeq(string(b), "\n") {
		text, ok := strings.CutPrefix(l, "CapEff:")
		if !ok {
			continue
		}
		eff, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		switch {
		case err != nil:
			return check{Name: c.Name, State: stateUnknown, Found: "capabilities unreadable"}
		case eff>>capBPF&1 == 1:
			return check{Name: c.Name, State: stateYes, Found: "CAP_BPF"}
		case eff>>capSysAdmin&1 == 1:
			return check{Name: c.Name, State: stateYes, Found: "CAP_SYS_ADMIN"}
		}
	}
	c.Found = "no CAP_BPF"
	c.Means = "this process cannot load programs into the kernel; bpfvm does not need to"
	return c
}

func checkBTF() check {
	const path = hostBTF
	c := check{Name: "kernel BTF", State: stateNo, Found: "none",
		Means: "CO-RE uses the built-in types of Linux " + targetKernel}
	if st, err := os.Stat(path); err == nil {
		c.State = stateYes
		c.Means = "CO-RE uses the built-in types of Linux " + targetKernel + "; --btf host takes these"
		c.Found = fmt.Sprintf("%s, %.1f MiB", path, float64(st.Size())/(1<<20))
	}
	return c
}

func checkJITSysctl() check {
	c := check{Name: "kernel JIT", State: stateUnknown, Found: "unknown"}
	b, err := os.ReadFile("/proc/sys/net/core/bpf_jit_enable")
	if err != nil {
		return c
	}
	switch strings.TrimSpace(string(b)) {
	case "0":
		c.State, c.Found = stateNo, "off: the kernel interprets"
	default:
		c.State, c.Found = stateYes, "on"
	}
	return c
}

// checkClang looks for a compiler that knows the bpf target.
func checkClang() check {
	names := []string{"clang"}
	for v := 25; v >= 11; v-- {
		names = append(names, fmt.Sprintf("clang-%d", v))
	}
	for _, n := range append(names, "bpf-gcc", "bpf-unknown-none-gcc") {
		if path, err := exec.LookPath(n); err == nil {
			return check{Name: "C compiler", State: stateYes, Found: filepath.ToSlash(path),
				Means: n + " -O2 -g -target bpf -c prog.c -o prog.bpf.o"}
		}
	}
	return check{Name: "C compiler", State: stateNo, Found: "no clang, no bpf-gcc",
		Means: "write assembly (bpfvm asm) or bring objects compiled elsewhere"}
}

func (a *app) checkTerminal() check {
	if !a.io.OutTTY {
		return check{Name: "terminal", State: stateNo, Found: "stdout is not a terminal"}
	}
	c := check{Name: "terminal", State: stateYes, Found: "size unknown"}
	if cols, lines := a.io.Size(); cols > 0 {
		c.Found = fmt.Sprintf("%dx%d", cols, lines)
		if cols < 80 || lines < 24 {
			c.Means = "output is made for 80x24"
		}
	}
	return c
}

func (a *app) checkColour() check {
	if a.style.on {
		return check{Name: "colour", State: stateYes, Found: "on"}
	}
	return check{Name: "colour", State: stateNo, Found: "off", Means: "--color=always turns it on"}
}

func (a *app) writeDoctor(d doctorDoc) {
	w := a.out
	fmt.Fprintln(w, buildLine())
	for _, group := range []struct {
		title  string
		checks []check
	}{{"engines", d.Engines}, {"this machine", d.Checks}} {
		fmt.Fprintf(w, "\n%s\n", a.style.head(group.title))
		t := newTable("", "", "")
		t.paint(0, a.style.name)
		t.paint(1, func(s string) string {
			if s == stateYes {
				return a.style.good(s)
			}
			return a.style.dim(s)
		})
		for _, c := range group.checks {
			t.add(c.Name, c.State, c.Found)
			if c.Means != "" {
				t.add("", "", "  "+c.Means)
			}
		}
		t.write(w, a, "  ")
	}
}
