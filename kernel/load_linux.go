package kernel

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"bpfvm/isa"
	"bpfvm/spec"
)

// session is everything that one job creates.
type session struct {
	job   *wireJob
	cpus  int
	step  func(format string, args ...any)
	btfFD int // 0 for none
	maps  []*liveMap
	progs []int // descriptors, in the order of job.Progs
	notes []string
}

func (s *session) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

func (s *session) mapNamed(name string) *liveMap {
	for _, m := range s.maps {
		if m.spec.Name == name {
			return m
		}
	}
	return nil
}

// close lets go of everything, which ends it.
func (s *session) close() {
	for _, fd := range s.progs {
		unix.Close(fd)
	}
	for _, m := range s.maps {
		m.out.close()
		unix.Close(m.fd)
	}
	if s.btfFD > 0 {
		unix.Close(s.btfFD)
	}
	s.progs, s.maps, s.btfFD = nil, nil, 0
}

// build creates types and maps.
func (s *session) build() error {
	if len(s.job.BTF) > 0 {
		s.step("load the types")
		attr := attrBTFLoad{btf: pointTo(s.job.BTF), size: uint32(len(s.job.BTF))}
		fd, errno := bpf(unix.BPF_BTF_LOAD, &attr)
		if errno == 0 {
			s.btfFD = fd
		} else {
			s.note("loaded without types: %s", s.whyNoTypes(errno))
		}
	}
	for _, m := range s.job.Maps {
		s.step("create map %s", m.Name)
		live, err := s.createMap(m)
		if err != nil {
			return err
		}
		s.maps = append(s.maps, live)
	}
	for _, m := range s.maps {
		if err := s.fill(m); err != nil {
			return err
		}
	}
	return nil
}

// whyNoTypes loads the types again to hear the kernel's reason, which is its last
// line.
func (s *session) whyNoTypes(errno spec.Errno) string {
	log := make([]byte, 1<<20)
	attr := attrBTFLoad{
		btf: pointTo(s.job.BTF), size: uint32(len(s.job.BTF)),
		logBuf: pointTo(log), logSize: uint32(len(log)), logLevel: 1,
	}
	if fd, errno := bpf(unix.BPF_BTF_LOAD, &attr); errno == 0 {
		unix.Close(fd)
	}
	lines := strings.Split(strings.TrimSpace(text(log)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Sprintf("%v: %s", errno, last)
	}
	return errno.String()
}

// load gives a program to the kernel.
func (s *session) load(p *wireProg) (int, *LoadResult, error) {
	s.step("load %s", p.Name)
	if p.Type == spec.ProgUnspec {
		return 0, nil, fmt.Errorf("nothing says what type of program %s is", p.Name)
	}
	insns, err := s.patch(p)
	if err != nil {
		return 0, nil, err
	}
	license := append([]byte(p.License), 0)
	attr := attrProgLoad{
		progType: uint32(p.Type), insnCount: uint32(len(insns) / isa.SlotSize), insns: pointTo(insns),
		license: pointTo(license), kernVersion: p.Version, flags: p.Flags, name: nameOf(p.Name),
		expectedAttach: uint32(p.Attach),
	}
	if attr.attachBTFID, err = attachTarget(p); err != nil {
		return 0, nil, err
	}
	if s.btfFD > 0 {
		attr.btfFD = uint32(s.btfFD)
		if len(p.FuncInfo) > 0 {
			attr.funcInfo, attr.funcInfoRec = pointTo(p.FuncInfo), funcInfoSize
			attr.funcInfoCount = uint32(len(p.FuncInfo) / funcInfoSize)
		}
		if len(p.LineInfo) > 0 {
			attr.lineInfo, attr.lineInfoRec = pointTo(p.LineInfo), lineInfoSize
			attr.lineInfoCount = uint32(len(p.LineInfo) / lineInfoSize)
		}
	}
	if s.job.Unprivileged {
		restore, err := dropCapabilities()
		if err != nil {
			return 0, nil, err
		}
		defer restore()
	}
	fd, r := s.loadLogged(&attr)
	if r.Errno == spec.EPERM && !r.Verified && s.job.Unprivileged {
		r.Verdict, r.Reason = NotTried, fmt.Sprintf("users without capabilities may not load %s programs here (kernel.unprivileged_bpf_disabled is %s)",
			p.Type, setting("kernel/unprivileged_bpf_disabled"))
		return fd, r, nil
	}
	if r.Errno == spec.EPERM && !r.Verified {
		if missing := missingCapability(progCapabilities(p.Type)...); missing != "" {
			return 0, nil, &stageError{op: "load " + p.Name, errno: r.Errno, cap: missing}
		}
		r.Verdict = NotTried
		r.Reason = fmt.Sprintf("a security policy of this machine refuses it before the verifier runs (%v)", r.Errno)
	}
	r.Stats = parseStats(r.Log)
	return fd, r, nil
}

// patch fills in what only the running kernel knows: descriptors of maps, ids and
// addresses of its symbols.
func (s *session) patch(p *wireProg) ([]byte, error) {
	le := binary.LittleEndian
	insns := append([]byte(nil), p.Insns...)
	for _, f := range p.Maps {
		le.PutUint32(insns[f.PC*isa.SlotSize+4:], uint32(s.maps[f.Map].fd))
	}
	for _, f := range p.Kernel {
		if err := fixKernel(insns, f); err != nil {
			return nil, err
		}
	}
	return insns, nil
}

// fillProgs puts programs into prog arrays, once all are loaded.
func (s *session) fillProgs() error {
	for _, m := range s.maps {
		for _, kv := range m.spec.Contents {
			if kv.Program == "" {
				continue
			}
			for i := range s.job.Progs {
				if s.job.Progs[i].Name == kv.Program && i < len(s.progs) {
					if err := s.update(m, kv.Key, fdBytes(s.progs[i])); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func fdBytes(fd int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(fd)) }
