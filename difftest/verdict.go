package difftest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"bpfvm/kernel"
	"bpfvm/spec"
	"bpfvm/verifier"
)

// Class says how two verdicts on a program relate.
type Class string

// Classes of verdicts. What our verifier does not model is in no other class: it is
// neither agreement nor error.
const (
	BothAccept   Class = "both_accept"
	SameMessage  Class = "same_message"  // both reject, in the same words
	OtherMessage Class = "other_message" // both reject
	FalseAccept  Class = "false_accept"  // we accept what the kernel rejects
	FalseReject  Class = "false_reject"  // we reject what the kernel accepts
	NotModelled  Class = "not_modelled"
	Skipped      Class = "skipped" // the kernel gave no verdict
)

// VerdictSummary counts programs by class.
type VerdictSummary struct {
	Programs     int `json:"programs"`
	BothAccept   int `json:"both_accept"`
	SameMessage  int `json:"same_message"`
	OtherMessage int `json:"other_message"`
	FalseAccept  int `json:"false_accept"`
	FalseReject  int `json:"false_reject"`
	NotModelled  int `json:"not_modelled"`
	Skipped      int `json:"skipped"`
}

// Add counts a program.
func (s *VerdictSummary) Add(c Class) {
	s.Programs++
	switch c {
	case BothAccept:
		s.BothAccept++
	case SameMessage:
		s.SameMessage++
	case OtherMessage:
		s.OtherMessage++
	case FalseAccept:
		s.FalseAccept++
	case FalseReject:
		s.FalseReject++
	case NotModelled:
		s.NotModelled++
	case Skipped:
		s.Skipped++
	}
}

// Wrong is the number of programs on which we decide against the kernel.
func (s *VerdictSummary) Wrong() int { return s.FalseAccept + s.FalseReject }

// ProgramVerdict is what both verifiers say to a program.
type ProgramVerdict struct {
	Object  string `json:"object"`
	Program string `json:"program"`
	Section string `json:"section"`
	Ours    string `json:"ours"`   // "accepted", "rejected", "not_modelled"
	Kernel  string `json:"kernel"` // "accepted", "rejected", "not tried"
	Class   Class  `json:"class"`

	OurMessage    string `json:"our_message,omitempty"`
	KernelMessage string `json:"kernel_message,omitempty"`
	Slot          int    `json:"slot"` // where ours ended, -1 for none
	// Processed are the instructions that were looked at.
	OurProcessed    int           `json:"our_processed"`
	KernelProcessed int           `json:"kernel_processed"`
	OurTime         time.Duration `json:"our_time_ns"`
	KernelTime      time.Duration `json:"kernel_time_ns"`
}

// CompareVerdicts gives a program of a collection to both verifiers. The error is
// the context's, or says that the kernel cannot be asked at all.
func CompareVerdicts(ctx context.Context, k *Kernel, cs *spec.CollectionSpec, p *spec.ProgramSpec) (*ProgramVerdict, error) {
	v := &ProgramVerdict{Object: cs.Name, Program: p.Name, Section: p.Section, Slot: -1}
	began := time.Now()
	report, err := verifier.Verify(p, verifier.Options{Maps: cs.Maps, BTF: cs.BTF, NoFacts: true,
		Target: hostTypes(), Symbol: hostSymbol, CPUs: hostCPUs()})
	v.OurTime = time.Since(began)
	if err != nil {
		v.Ours, v.OurMessage = "error", err.Error()
	} else {
		v.Ours, v.OurMessage, v.Slot, v.OurProcessed = report.Verdict.String(), report.Message, int(report.PC), report.Processed
	}
	res, err := k.k.Load(ctx, kernel.Job{Spec: cs, Program: p.Name, Log: kernel.LogInsns})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, ok := errors.AsType[*kernel.PrivilegeError](err); ok {
			return nil, err
		}
		v.Kernel, v.KernelMessage, v.Class = "not tried", err.Error(), Skipped
		return v, nil
	}
	v.Kernel, v.KernelMessage, v.KernelProcessed, v.KernelTime = res.Verdict.String(), res.Message(), res.Stats.Processed, res.Took
	if res.Verdict == kernel.Accepted {
		v.KernelMessage = ""
	}
	v.Class = class(v, res)
	return v, nil
}

func class(v *ProgramVerdict, res *kernel.LoadResult) Class {
	switch {
	case res.Verdict == kernel.NotTried:
		v.KernelMessage = res.Reason
		return Skipped
	case res.Verdict == kernel.Rejected && !res.Verified:
		v.KernelMessage = fmt.Sprintf("refused before the verifier: %v %s", res.Errno, res.Message())
		return Skipped
	case v.Ours == verifier.NotModelled.String():
		return NotModelled
	case v.Ours == "error":
		return Skipped
	}
	ours := v.Ours == verifier.Accepted.String()
	switch {
	case ours && res.Verdict == kernel.Accepted:
		return BothAccept
	case ours && verifierBug(res.Message()):
		return Skipped
	case ours:
		return FalseAccept
	case res.Verdict == kernel.Accepted:
		return FalseReject
	case sameMessage(v.OurMessage, v.KernelMessage):
		return SameMessage
	}
	return OtherMessage
}

// verifierBug reports whether a kernel refused a program because its verifier found
// itself in a state that cannot be (verifier_bug, include/linux/bpf_verifier.h): that
// is no judgement of the program.
func verifierBug(message string) bool { return strings.Contains(message, "verifier bug") }

// sameMessage compares the last line of both, which is where the kernel says what
// is wrong.
func sameMessage(a, b string) bool { return lastLine(a) == lastLine(b) }

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}
