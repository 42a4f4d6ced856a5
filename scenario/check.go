package scenario

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// ExpectResult is the outcome of one expectation.
type ExpectResult struct {
	Pos  Pos    `json:"pos"`
	Text string `json:"expect"` // the statement
	OK   bool   `json:"ok"`
	Want string `json:"want"`
	Got  string `json:"got"`
}

// String is the outcome on one line: "ok   expect r0 == 0" or "FAIL expect map
// counts[42] == 1: got 2".
func (e *ExpectResult) String() string {
	if e.OK {
		return "ok   " + e.Text
	}
	return fmt.Sprintf("FAIL %s: got %s", e.Text, e.Got)
}

// check compares what is expected with what is there now.
// The runs are those of the event above it.
func (r *runner) check(e *Expect, runs []*ProgRun) ExpectResult {
	res := ExpectResult{Pos: e.Pos, Text: FormatStmt(e), Want: e.condition()}
	switch e.Subject {
	case SubjectMap, SubjectMapMissing, SubjectMapEntries:
		res.OK, res.Got = r.checkMap(e)
	case SubjectTrace, SubjectTraceLines:
		res.OK, res.Got = r.checkTrace(e)
	case SubjectEvents:
		res.OK, res.Got = e.count(r.res.Events)
	case SubjectRingbuf, SubjectPerf:
		if _, err := r.maps.find(e.Name); err != nil {
			res.Got = err.Error()
		} else {
			res.OK, res.Got = e.count(r.records[e.Name])
		}
	default:
		res.OK, res.Got = r.checkRun(e, runs)
	}
	return res
}

func (e *Expect) count(n int) (bool, string) {
	return compare(cmp.Compare(uint64(n), e.Want.Num), e.Op), fmt.Sprint(n)
}

func compare(order int, op string) bool {
	switch op {
	case "==":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// match applies =~ and !~; the expression was compiled when the script was parsed.
func match(e *Expect, texts ...string) bool {
	re := regexp.MustCompile(e.Want.Text)
	found := false
	for _, t := range texts {
		found = found || re.MatchString(t)
	}
	return found == (e.Op == "=~")
}

func (r *runner) checkMap(e *Expect) (bool, string) {
	m, err := r.maps.findData(e.Name)
	if err != nil {
		return false, err.Error()
	}
	if e.Subject == SubjectMapEntries {
		n := 0
		for range runtime.Elements(m) {
			n++
		}
		return e.count(n)
	}
	s := r.maps.state(m)
	if keyless(s.Spec.Type) {
		s.key.size = 4 // the place in the order of popping
	}
	key, err := s.key.of(*e.Key)
	if err != nil {
		return false, "a bad key: " + asError(err).Msg
	}
	value, err := lookup(m, key)
	if e.Subject == SubjectMapMissing {
		if err == nil {
			return false, s.valueText(value)
		}
		return true, "missing"
	}
	if err != nil {
		return false, fmt.Sprintf("no element (%v)", err)
	}
	if e.Path != "" {
		return s.checkPath(e, value)
	}
	got := s.valueText(value)
	if e.Op == "=~" || e.Op == "!~" {
		return match(e, got), got
	}
	return s.checkValue(e, value, got)
}

// lookup finds an element that the map shows, also where bpf(2) would not.
func lookup(m runtime.Map, key []byte) ([]byte, error) {
	if HoldsData(m.Spec().Type) {
		return m.Lookup(key)
	}
	for k, v := range runtime.Elements(m) {
		if bytes.Equal(k, key) {
			return v, nil
		}
	}
	return nil, spec.ENOENT
}

// checkValue compares a value. A number is compared with the sum over all CPUs of
// a per-CPU map.
func (m *MapState) checkValue(e *Expect, value []byte, got string) (bool, string) {
	size := int(m.Spec.ValueSize)
	if parts := m.perCPU(value); len(parts) > 1 {
		if e.Want.Kind == ValueJSON {
			j, err := m.valueJSON(value)
			return (err == nil && sameJSON(j, []byte(e.Want.Text))) == (e.Op == "=="), got
		}
		if size <= 8 && e.Want.IsNumber() {
			var sum uint64
			for _, p := range parts {
				sum += getLE(p)
			}
			return compare(cmp.Compare(sum, e.Want.Num), e.Op), fmt.Sprintf("%d, the sum of %s", sum, got)
		}
	}
	value = value[:min(len(value), size)]
	if e.Want.IsNumber() && size <= 8 {
		if !e.Want.fits(size) {
			return e.Op == "!=", got
		}
		if e.Want.Neg {
			shift := 64 - 8*size
			return compare(cmp.Compare(int64(getLE(value)<<shift)>>shift, int64(e.Want.Num)), e.Op), got
		}
		return compare(cmp.Compare(getLE(value), e.Want.Num), e.Op), got
	}
	want, err := m.value.of(*e.Want)
	if err != nil {
		return false, got + " (" + asError(err).Msg + ")"
	}
	return bytes.Equal(want, value) == (e.Op == "=="), got
}

func (r *runner) checkTrace(e *Expect) (bool, string) {
	got := fmt.Sprintf("%d lines", len(r.trace))
	if n := len(r.trace); n > 0 {
		got += fmt.Sprintf(", the last: %s", r.trace[n-1].Msg)
	}
	switch {
	case e.Subject == SubjectTraceLines:
		ok, _ := e.count(len(r.trace))
		return ok, got
	case e.Want == nil:
		return len(r.trace) == 0, got
	case e.Op == "=~" || e.Op == "!~":
		texts := make([]string, 0, 2*len(r.trace))
		for _, l := range r.trace {
			texts = append(texts, l.Msg, l.String())
		}
		return match(e, texts...), got
	}
	var msgs []string
	for _, l := range r.trace {
		msgs = append(msgs, l.Msg)
	}
	return (strings.Join(msgs, "\n") == e.Want.Text) == (e.Op == "=="), got
}

// checkRun looks at the programs that ran on an event: at the one that is named,
// or at all of them.
func (r *runner) checkRun(e *Expect, runs []*ProgRun) (bool, string) {
	ok, seen := true, []string{}
	for _, run := range runs {
		if e.Name != "" && run.Program != e.Name {
			continue
		}
		one, got := e.checkOne(run)
		ok = ok && one
		if e.Name == "" && len(runs) > 1 {
			got = run.Program + ": " + got
		}
		seen = append(seen, got)
	}
	if len(seen) == 0 {
		if e.Name != "" {
			return false, fmt.Sprintf("%s did not run on the event above", e.Name)
		}
		return false, "no program ran on the event above"
	}
	return ok, strings.Join(seen, ", ")
}

func (e *Expect) checkOne(run *ProgRun) (bool, string) {
	trap := "none"
	if run.Trap != nil {
		trap = run.Trap.Msg
	}
	switch e.Subject {
	case SubjectTrap:
		switch {
		case e.Want == nil:
			return run.Trap == nil, trap
		case e.Op == "=~" || e.Op == "!~":
			return match(e, trap), trap
		}
		return (trap == e.Want.Text) == (e.Op == "=="), trap
	case SubjectInsns:
		return compare(cmp.Compare(run.Insns, e.Want.Num), e.Op), fmt.Sprint(run.Insns)
	case SubjectPacket:
		return e.checkPacket(run)
	}
	if run.Trap != nil {
		return false, "trap: " + trap
	}
	got := r0Text(run.R0)
	if e.Want.Kind == ValueWord {
		if run.Ret != "" {
			got += " " + run.Ret
		}
		return (run.Ret == e.Want.Text) == (e.Op == "=="), got
	}
	// The kernel's hooks look at 32 bits of the result.
	if e.Want.Neg {
		return compare(cmp.Compare(int64(int32(run.R0)), int64(e.Want.Num)), e.Op), got
	}
	return compare(cmp.Compare(run.R0, e.Want.Num), e.Op), got
}

func (e *Expect) checkPacket(run *ProgRun) (bool, string) {
	if run.Packet == nil {
		return false, "no packet"
	}
	got := run.Packet.String()
	if e.Want == nil {
		return !run.Packet.Changed(), got
	}
	if e.Op == "=~" || e.Op == "!~" {
		return match(e, got, DecodePacket(run.Packet.After).String()), got
	}
	want, err := PacketWords(e.Want.Text)
	if err != nil {
		return false, err.Error()
	}
	same := bytes.Equal(want, run.Packet.After)
	if !same {
		got = DiffPackets(want, run.Packet.After).String() + " (wanted->got)"
	}
	return same == (e.Op == "=="), got
}
