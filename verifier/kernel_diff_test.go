//go:build linux

package verifier

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"

	"golang.org/x/tools/txtar"
)

var genCount = flag.Int("programs", 150, "generated programs to compare with the kernel")

// Classes of agreement, as "diff --verdicts" counts them.
type agreement struct {
	bothAccept, sameMessage, otherMessage, falseAccept, falseReject, notModelled, sameProcessed int
}

func (a agreement) String() string {
	return fmt.Sprintf("both_accept %d (same processed %d), same_message %d, other_message %d, false_accept %d, false_reject %d, not_modelled %d",
		a.bothAccept, a.sameProcessed, a.sameMessage, a.otherMessage, a.falseAccept, a.falseReject, a.notModelled)
}

// lastLine is the last line of a log before the statistics.
func lastLine(log string) string {
	i := strings.LastIndex(log, "processed ")
	if i < 0 {
		return ""
	}
	lines := strings.Split(strings.TrimRight(log[:i], "\n"), "\n")
	return lines[len(lines)-1]
}

func processedOf(log string) (n int) {
	if i := strings.LastIndex(log, "processed "); i >= 0 {
		fmt.Sscanf(log[i:], "processed %d", &n)
	}
	return n
}

// compare asks the kernel and classes the two answers.
func (a *agreement) compare(t *testing.T, k *kernelWorker, job *kernelJob, r *Report, name string) {
	t.Helper()
	if r.Verdict == NotModelled {
		a.notModelled++
		return
	}
	ans, err := k.ask(job)
	for i := 0; err == nil && ans.Errno == 11 && i < 20; i++ { // EAGAIN: a signal came
		ans, err = k.ask(job)
	}
	if err != nil {
		t.Logf("%s: %v", name, err)
		return
	}
	if ans.Err != "" && r.Verdict == Rejected && spec.Errno(ans.Errno) != r.Errno {
		t.Errorf("%s: %v, the kernel says %v: %s", name, r.Errno, spec.Errno(ans.Errno), r.Message)
	}
	switch accepted := ans.Err == ""; {
	case accepted && r.Verdict == Accepted:
		a.bothAccept++
		if processedOf(ans.Log) == r.Processed {
			a.sameProcessed++
		} else {
			t.Logf("%s: processed %d instructions, the kernel %d", name, r.Processed, processedOf(ans.Log))
		}
	case accepted:
		a.falseReject++
		t.Errorf("%s: false reject at %d: %s", name, r.PC, r.Message)
	case r.Verdict == Accepted:
		a.falseAccept++
		t.Errorf("%s: false accept; the kernel says %s: %s", name, ans.Err, lastLine(ans.Log))
	case lastLine(ans.Log) == lastLine(r.Log):
		a.sameMessage++
	default:
		a.otherMessage++
		t.Logf("%s: kernel %q, ours %q", name, lastLine(ans.Log), lastLine(r.Log))
	}
}

func TestKernelAgreesOnGenerated(t *testing.T) {
	k := needKernel(t)
	var a agreement
	for seed := range uint64(*genCount) {
		p := genSpec(seed)
		r, err := Verify(p, Options{LogLevel: LogLevel1})
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
			continue
		}
		a.compare(t, k, &kernelJob{Type: uint32(p.Type), License: p.License, Insns: isa.Encode(p.Insns), Level: LogLevel1}, r, fmt.Sprintf("seed %d", seed))
	}
	t.Log(a)
}

// kernelJobOf makes the maps of a program and the program itself a job. BTF is
// left out, so functions are verified as static ones.
func kernelJobOf(c *spec.CollectionSpec, p *spec.ProgramSpec) *kernelJob {
	job := &kernelJob{Type: uint32(p.Type), Attach: uint32(p.Attach), Flags: p.Flags, License: p.License,
		Level: LogStats, MapAt: map[int]int{}}
	insns := append(isa.Program(nil), p.Insns...)
	index := map[string]int{}
	for _, ref := range p.Refs {
		i, ok := index[ref.Name]
		if !ok {
			m := c.Map(ref.Name)
			km := kernelMap{Type: uint32(m.Type), Key: m.KeySize, Value: m.ValueSize, Entries: m.MaxEntries, Flags: uint32(m.Flags), Inner: -1}
			if km.Entries == 0 {
				km.Entries = 1
			}
			if m.Frozen && len(m.Contents) > 0 {
				km.Frozen = true
				km.Contents = append(append([]byte(nil), m.Contents[0].Value...), make([]byte, int(m.ValueSize)-len(m.Contents[0].Value))...)
			}
			i = len(job.Maps)
			job.Maps = append(job.Maps, km)
			index[ref.Name] = i
		}
		job.MapAt[int(ref.PC)] = i
		if ref.Kind == spec.RefMapValue {
			insns[ref.PC+1].Imm = int32(ref.Off)
		}
	}
	job.Insns = isa.Encode(insns)
	return job
}

// TestKernelAgreesOnObjects compares verdicts over every shipped object.
func TestKernelAgreesOnObjects(t *testing.T) {
	k := needKernel(t)
	var a agreement
	for _, o := range testdataObjects(t) {
		if o.name == "bench/alu.bpf.o" && testing.Short() {
			continue // half a minute in the kernel
		}
		c, err := elf.Load("../testdata/"+o.name, elf.Options{})
		if err != nil {
			t.Errorf("%s: %v", o.name, err)
			continue
		}
		for _, p := range c.Programs {
			q := *p
			q.Funcs, q.Lines = nil, nil
			opts := Options{LogLevel: LogStats, NoFacts: true}
			for _, m := range c.Maps {
				m := *m
				m.ValueTypeID = 0
				opts.Maps = append(opts.Maps, &m)
			}
			r, err := Verify(&q, opts)
			if err != nil {
				t.Errorf("%s:%s: %v", o.name, p.Name, err)
				continue
			}
			a.compare(t, k, kernelJobOf(c, p), r, o.name+":"+p.Name)
		}
	}
	t.Log(a)
}

// TestKernelAgreesOnCases asks the kernel about every case of testdata.
func TestKernelAgreesOnCases(t *testing.T) {
	k := needKernel(t)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var a agreement
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, opts := assembleSpec(t, string(section(ar, "asm")))
		p.Funcs = nil // no BTF goes to the kernel
		opts.LogLevel = LogLevel1
		r, err := Verify(p, opts)
		if err != nil {
			t.Fatal(err)
		}
		job := kernelJobOf(&spec.CollectionSpec{Maps: opts.Maps}, p)
		job.Level = LogLevel1
		a.compare(t, k, job, r, file)
	}
	t.Log(a)
}

// TestKernelLog compares whole logs at level 2, but for what the kernel says of
// its own bookkeeping.
func TestKernelLog(t *testing.T) {
	k := needKernel(t)
	same := 0
	for seed := range uint64(60) {
		p := genSpec(seed)
		r, err := Verify(p, Options{LogLevel: LogLevel2})
		if err != nil {
			t.Fatal(err)
		}
		ans, err := k.ask(&kernelJob{Type: uint32(p.Type), License: p.License, Insns: isa.Encode(p.Insns), Level: LogLevel2})
		if err != nil || ans.Errno == 11 {
			continue
		}
		if strings.Contains(ans.Log, "SCC ") || strings.Contains(r.Log, ".insn") {
			continue // the kernel breaks lines to tell of loops; we do not name what is illegal
		}
		want, got := logLines(ans.Log), logLines(r.Log)
		for i := range min(len(want), len(got)) {
			if want[i] != got[i] {
				t.Errorf("seed %d, line %d:\nkernel %s\nours   %s", seed, i, want[i], got[i])
				break
			}
		}
		if len(want) == len(got) {
			same++
		}
	}
	t.Logf("%d logs are the same", same)
}

// logLines drops the lines about liveness marks and components.
func logLines(log string) []string {
	var out []string
	for line := range strings.SplitSeq(log, "\n") {
		if strings.HasPrefix(line, "(") && !strings.HasPrefix(line, "(0x") || strings.HasPrefix(line, "SCC ") {
			continue
		}
		out = append(out, line)
	}
	return out
}
