package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"bpfvm/spec"
)

// growth is how much longer than it was a packet may come back; beyond it the
// kernel cuts it and answers ENOSPC.
const growth = 64 << 10

// testRun runs a loaded program on one input. What may be given depends on the
// type: raw tracepoints know no context out, syscall programs write into the
// context in (net/bpf/test_run.c, kernel/trace/bpf_trace.c; kernel/bpf/syscall.c,
// bpf_prog_test_run).
func (s *session) testRun(fd int, typ spec.ProgType, in *Input) RunResult {
	attr := attrTestRun{
		progFD: uint32(fd),
		dataIn: pointTo(in.Data), sizeIn: uint32(len(in.Data)),
		ctxIn: pointTo(in.Ctx), ctxSizeIn: uint32(len(in.Ctx)),
		flags: in.Flags, cpu: in.CPU,
	}
	var data, ctx []byte
	if in.Data != nil {
		attr.repeat = in.Repeat
		data = make([]byte, len(in.Data)+growth)
		attr.dataOut, attr.sizeOut = pointTo(data), uint32(len(data))
	}
	switch {
	case typ == spec.ProgSyscall && in.Ctx != nil:
		ctx = bytes.Clone(in.Ctx)
		attr.ctxIn = pointTo(ctx)
	case typ == spec.ProgRawTracepoint:
	case takesSKB(typ), in.Ctx != nil:
		ctx = make([]byte, len(in.Ctx)+1<<10)
		attr.ctxOut, attr.ctxSizeOut = pointTo(ctx), uint32(len(ctx))
	}
	start := time.Now()
	_, errno := bpf(unix.BPF_PROG_TEST_RUN, &attr)
	took := time.Since(start)
	r := RunResult{Errno: errno, R0: attr.retval}
	if errno != 0 && errno != spec.ENOSPC {
		return r
	}
	r.Duration = took
	if in.Data != nil {
		r.Data = data[:min(uint32(len(data)), attr.sizeOut)]
		r.Duration = time.Duration(attr.duration)
	}
	if r.Ctx = ctx; attr.ctxSizeOut > 0 {
		r.Ctx = ctx[:min(uint32(len(ctx)), attr.ctxSizeOut)]
	}
	return r
}

// takesSKB reports whether a test run takes a struct __sk_buff and gives it back
// (net/bpf/test_run.c, bpf_prog_test_run_skb).
func takesSKB(t spec.ProgType) bool {
	switch t {
	case spec.ProgSocketFilter, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgCgroupSKB,
		spec.ProgLWTIn, spec.ProgLWTOut, spec.ProgLWTXmit:
		return true
	}
	return false
}

// run builds, loads and runs a job.
func run(job *wireJob, inputs []Input, cpus int, step func(string, ...any)) (a answer, err error) {
	var s *session
	defer func() {
		if s != nil {
			s.close()
		}
	}()
	if job.Want&WantStats != 0 {
		defer closeFD(enableStats())
	}
	open := func() error {
		if s != nil {
			s.close()
		}
		s = &session{job: job, cpus: cpus, step: step}
		r, err := s.buildAndLoad()
		if a.Load == nil || err == nil && r.Verdict != Accepted {
			a.Load = r
		}
		if err != nil || r.Verdict != Accepted {
			return err
		}
		return s.openOutlets()
	}
	if err := open(); err != nil || a.Load.Verdict != Accepted {
		return a, err
	}
	for i := range inputs {
		if i > 0 && job.Fresh && len(s.maps) > 0 { // without maps there is nothing to renew
			if err := open(); err != nil || a.Load.Verdict != Accepted {
				return a, err
			}
		}
		step("run input %d", i)
		r := s.testRun(s.progs[0], job.Progs[0].Type, &inputs[i])
		r.Records = s.drain()
		a.Runs = append(a.Runs, r)
	}
	var info progInfo
	if errno := getInfo(s.progs[0], &info); errno == 0 {
		a.Count = runCount{Runs: info.runCount, Misses: info.misses, Time: time.Duration(info.runTime)}
	}
	for _, m := range s.maps {
		step("read map %s", m.spec.Name)
		a.Maps = append(a.Maps, s.dump(m, job.MaxEntries))
	}
	return a, nil
}

// buildAndLoad creates everything of a job. The result is that of the first
// program, or of the program in a prog array that the kernel does not take.
func (s *session) buildAndLoad() (*LoadResult, error) {
	if err := s.build(); err != nil {
		return s.untried(err)
	}
	var first *LoadResult
	for i := range s.job.Progs {
		p := &s.job.Progs[i]
		fd, r, err := s.load(p)
		if err != nil {
			return s.untried(err)
		}
		if r.Verdict == Accepted {
			s.progs = append(s.progs, fd)
		}
		if i == 0 {
			first = r
		} else if r.Verdict != Accepted {
			first.Verdict, first.Errno = NotTried, r.Errno
			first.Reason = fmt.Sprintf("it tail-calls %s, which is %s: %v: %s", p.Name, r.Verdict, r.Errno, r.Message())
		}
		if r.Verdict != Accepted {
			break
		}
	}
	first.Note = strings.Join(s.notes, "; ")
	if first.Verdict != Accepted {
		return first, nil
	}
	if err := s.fillProgs(); err != nil {
		return s.untried(err)
	}
	s.step("read %s back", s.job.Progs[0].Name)
	info, err := readBack(s.progs[0], &s.job.Progs[0], s.job)
	if err != nil {
		return first, err
	}
	first.Prog = info
	return first, nil
}

// untried makes the result of a step before the load that failed. Missing
// privilege is an error instead.
func (s *session) untried(err error) (*LoadResult, error) {
	r := &LoadResult{Verdict: NotTried, Reason: err.Error(), Note: strings.Join(s.notes, "; ")}
	if e, ok := errors.AsType[*stageError](err); ok {
		r.Errno = e.errno
		if e.errno == spec.EPERM && e.cap != "" {
			if cap := missingCapability(e.cap); cap != "" {
				return nil, privilegeError(cap, e.op)
			}
		}
	}
	return r, nil
}
