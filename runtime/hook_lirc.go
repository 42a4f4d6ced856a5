package runtime

import (
	"fmt"

	"bpfvm/spec"
)

func init() {
	contextKinds[spec.ProgLircMode2] = contextKind{}
	register(map[string]helperFunc{
		"bpf_rc_repeat":      rcRepeat,
		"bpf_rc_keydown":     rcKeydown,
		"bpf_rc_pointer_rel": rcPointerRel,
	}, spec.ProgLircMode2)
}

// The helpers of infrared decoders report to the input device; here what they report
// is the run's output, one line each (drivers/media/rc/bpf-lirc.c).

func rcRepeat(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.report("repeat\n") }

func rcKeydown(e *Env, _, protocol, scancode, toggle, _ uint64) (uint64, error) {
	t := 0
	if uint32(toggle) != 0 {
		t = 1
	}
	return e.report(fmt.Sprintf("keydown protocol=%d scancode=%#x toggle=%d\n", uint32(protocol), scancode, t))
}

func rcPointerRel(e *Env, _, x, y, _, _ uint64) (uint64, error) {
	return e.report(fmt.Sprintf("pointer x=%d y=%d\n", int32(x), int32(y)))
}

// maxReport bounds what one run reports.
const maxReport = 1 << 20

func (e *Env) report(line string) (uint64, error) {
	if len(e.output)+len(line) > maxReport {
		return 0, fmt.Errorf("more than %d bytes of reports in one run", maxReport)
	}
	e.output = append(e.output, line...)
	return 0, nil
}
