package verifier

import (
	"fmt"
	"strconv"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Log levels, as user space gives them to bpf(2) (include/linux/bpf_verifier.h).
const (
	LogLevel1 = 1 // the path that was refused
	LogLevel2 = 2 // every path
	LogStats  = 4 // depth of the stack
)

// vlog is the log text (kernel/bpf/log.c). Without LogLevel2 it is cut back
// when a path turns out well, so that only the failing one remains.
type vlog struct {
	level int
	buf   []byte
	limit int
	lost  int // bytes dropped at the beginning
	// msg is what has been said since the last instruction was shown: the
	// refusal, if it comes.
	msg []byte
	// Where the last instruction was printed, to put its state on the same
	// line.
	insnEnd   int // len(buf) after the instruction's line
	insnWidth int
	prevLine  *spec.Line
}

func (l *vlog) wantInsns() bool { return l.level&(LogLevel1|LogLevel2) != 0 }

func (l *vlog) write(s string) {
	if l.level == 0 {
		return
	}
	if l.limit > 0 && len(l.buf)+len(s) > l.limit {
		// Keep the end, which tells what went wrong, as the kernel's rotating
		// log does.
		n := len(l.buf) / 2
		l.buf = append(l.buf[:0], l.buf[n:]...)
		l.lost += n
		l.insnEnd = 0
	}
	l.buf = append(l.buf, s...)
}

func (l *vlog) printf(format string, args ...any) {
	if l.level != 0 {
		l.write(fmt.Sprintf(format, args...))
	}
}

// pos is the length of all that was written; cut takes back what was written
// after it.
func (l *vlog) pos() int { return l.lost + len(l.buf) }

func (l *vlog) cut(pos int) {
	if n := max(pos-l.lost, 0); n < len(l.buf) {
		l.buf = l.buf[:n]
	}
}

// say writes text that belongs to a refusal: the report wants it at any level.
func (env *env) say(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	env.log.msg = append(env.log.msg, s...)
	env.log.write(s)
}

// debugf writes what only LogLevel2 shows.
func (env *env) debugf(format string, args ...any) {
	if env.log.level&LogLevel2 != 0 {
		env.log.printf(format, args...)
	}
}

// snum prints as the kernel's verbose_snum: small numbers decimal.
func snum(v int64) string {
	if v >= -32768 && v <= 32767 {
		return strconv.FormatInt(v, 10)
	}
	return "0x" + strconv.FormatUint(uint64(v), 16)
}

func unum(v uint64) string {
	if v <= 65535 {
		return strconv.FormatUint(v, 10)
	}
	return "0x" + strconv.FormatUint(v, 16)
}

// rangeString prints the intervals that say something, those that are equal
// together: "smin=umin=1,smax=umax=9" (print_scalar_ranges).
func rangeString(sb *strings.Builder, b *Bounds, sep *string) {
	s32 := func(v int32) uint64 {
		if v >= -32768 && v <= 32767 {
			return uint64(int64(v))
		}
		return uint64(uint32(v))
	}
	m := [...]struct {
		name   string
		val    uint64
		omit   bool
		signed bool
	}{
		{"smin", uint64(b.SMin), b.SMin == -1<<63, true},
		{"smax", uint64(b.SMax), b.SMax == 1<<63-1, true},
		{"umin", b.UMin, b.UMin == 0, false},
		{"umax", b.UMax, b.UMax == 1<<64-1, false},
		{"smin32", s32(b.S32Min), b.S32Min == -1<<31, true},
		{"smax32", s32(b.S32Max), b.S32Max == 1<<31-1, true},
		{"umin32", uint64(b.U32Min), b.U32Min == 0, false},
		{"umax32", uint64(b.U32Max), b.U32Max == 1<<32-1, false},
	}
	for i := range m {
		if m[i].omit {
			continue
		}
		neg := m[i].signed && int64(m[i].val) < 0
		sb.WriteString(*sep)
		*sep = ","
		sb.WriteString(m[i].name + "=")
		for j := i + 2; j < len(m); j += 2 {
			if m[j].omit || m[j].val != m[i].val || (m[j].signed && int64(m[j].val) < 0) != neg {
				continue
			}
			m[j].omit = true
			sb.WriteString(m[j].name + "=")
		}
		if m[i].signed {
			sb.WriteString(snum(int64(m[i].val)))
		} else {
			sb.WriteString(unum(m[i].val))
		}
	}
}

// regString prints a register as seen from a frame (print_reg_state).
func regString(r *RegState, frame int32) string {
	var sb strings.Builder
	if r.Type == Scalar && r.Precise {
		sb.WriteByte('P')
	}
	if r.Type == Scalar && r.VarOff.IsConst() {
		sb.WriteString(snum(int64(r.VarOff.Value)))
		return sb.String()
	}
	sb.WriteString(r.Type.String())
	if r.Type == PtrToStack {
		if frame != r.Frame {
			fmt.Fprintf(&sb, "[%d]", r.Frame)
		}
		if r.VarOff.IsConst() {
			sb.WriteString(snum(int64(r.VarOff.Value) + int64(r.Off)))
			return sb.String()
		}
	}
	if r.Type.base() == PtrToArena {
		return sb.String()
	}
	if r.Type.base() == PtrToBTFID {
		if r.BTF != nil {
			sb.WriteString(r.BTF.TypeName())
		}
	}
	sb.WriteByte('(')
	sep := ""
	add := func(format string, args ...any) {
		sb.WriteString(sep)
		fmt.Fprintf(&sb, format, args...)
		sep = ","
	}
	if r.ID != 0 {
		add("id=%d", r.ID&^addConst)
	}
	if r.ID&addConst != 0 {
		fmt.Fprintf(&sb, "%+d", r.Off)
	}
	if r.RefObjID != 0 {
		add("ref_obj_id=%d", r.RefObjID)
	}
	if r.Type&NonOwnRef != 0 && r.Type&MemAlloc != 0 {
		add("non_own_ref")
	}
	switch r.Type.base() {
	case ConstPtrToMap, PtrToMapKey, PtrToMapValue:
		if r.Map.Name != "" {
			add("map=%s", mapLogName(r.Map))
		}
		add("ks=%d,vs=%d", r.Map.KeySize, r.Map.ValueSize)
	}
	if r.Type != Scalar && r.Off != 0 {
		add("off=%s", snum(int64(r.Off)))
	}
	if r.Type.isPkt() {
		add("r=%s", unum(uint64(int64(r.Range))))
	}
	if r.Type.base() == PtrToMem {
		add("sz=%s", unum(uint64(r.MemSize)))
	}
	if r.Type == PtrToDynptr {
		add("type=%s", r.Dynptr)
	}
	if r.VarOff.IsConst() {
		if r.VarOff.Value != 0 {
			add("imm=%s", snum(int64(r.VarOff.Value)))
		}
	} else {
		rangeString(&sb, &r.Bounds, &sep)
		if !r.VarOff.IsUnknown() {
			add("var_off=%s", r.VarOff)
		}
	}
	sb.WriteByte(')')
	return sb.String()
}

// mapLogName is the map's name as the kernel keeps it: at most 15 bytes
// (BPF_OBJ_NAME_LEN).
func mapLogName(m *spec.MapSpec) string { return m.Name[:min(len(m.Name), 15)] }

const slotLetters = "?rm0dif"

// stateString prints a frame: all of it, or what the last instruction touched
// (print_verifier_state).
func (env *env) stateString(s *State, frame int, all bool) string {
	f := s.Frames[frame]
	var sb strings.Builder
	if f.FrameNo > 0 {
		fmt.Fprintf(&sb, " frame%d:", f.FrameNo)
	}
	for i := range f.Regs {
		r := &f.Regs[i]
		if r.Type == NotInit || !all && env.scratchedRegs>>i&1 == 0 {
			continue
		}
		fmt.Fprintf(&sb, " R%d=%s", i, regString(r, int32(f.FrameNo)))
	}
	for i := 0; i < len(f.Stack); i++ {
		if !all && env.scratchedStack>>min(i, 63)&1 == 0 {
			continue
		}
		slot := &f.Stack[i]
		var letters [regSize]byte
		valid := false
		for j, t := range slot.Type {
			letters[j] = slotLetters[t]
			valid = valid || t != SlotInvalid
		}
		if !valid {
			continue
		}
		switch r := &slot.Spilled; letters[regSize-1] {
		case 'd':
			i++ // the slot by which it is addressed
			if i < len(f.Stack) {
				writeDynptr(&sb, i, &f.Stack[i].Spilled)
			}
			continue
		case 'i':
			if r.RefObjID != 0 {
				fmt.Fprintf(&sb, " fp%d=iter_%s(ref_id=%d,state=%s,depth=%d)", -(i+1)*regSize, iterName(r.BTF), r.RefObjID, r.Iter, r.Depth)
			}
			continue
		}
		fmt.Fprintf(&sb, " fp%d=", -(i+1)*regSize)
		if slot.isSpilled() {
			for j, t := range slot.Type {
				if t == SlotSpill {
					sb.Write(letters[:j])
					break
				}
			}
			sb.WriteString(regString(&slot.Spilled, int32(f.FrameNo)))
		} else {
			sb.Write(letters[:])
		}
	}
	for i, ref := range s.refs {
		switch {
		case s.refs[0].id == 0: // the lock of a global variable
		case i == 0:
			fmt.Fprintf(&sb, " refs=%d", ref.id)
		case ref.id != 0:
			fmt.Fprintf(&sb, ",%d", ref.id)
		}
	}
	if f.inCallback {
		sb.WriteString(" cb")
	}
	if f.inAsync {
		sb.WriteString(" async_cb")
	}
	if !all {
		env.scratchedRegs, env.scratchedStack = 0, 0
	}
	sb.WriteByte('\n')
	return sb.String()
}

// printInsnState puts what the last instruction did beside it, or on a line of
// its own when something else was printed since (print_insn_state).
func (env *env) printInsnState() {
	l := &env.log
	text := env.stateString(env.cur, env.cur.curFrame(), false)
	if l.insnEnd > 0 && l.insnEnd == len(l.buf) {
		l.buf = l.buf[:l.insnEnd-1]
		pad := max(l.insnWidth+4, 40)
		pad = (pad+7)/8*8 - l.insnWidth - 1
		l.write(strings.Repeat(" ", max(pad, 1)) + ";")
	} else {
		l.printf("%d:", env.insnIdx)
	}
	l.write(text)
}

// printLine shows the source line that the slot belongs to, unless it was the
// last one shown (verbose_linfo).
func (env *env) printLine(pc int, prefix string) {
	if env.log.level == 0 {
		return
	}
	line := env.prog.LineAt(isa.PC(pc))
	prev := env.log.prevLine
	if line == nil || line == prev {
		return
	}
	if prev != nil && prev.File == line.File && prev.Line == line.Line {
		return
	}
	file := line.File[strings.LastIndexByte(line.File, '/')+1:]
	env.log.printf("%s%s @ %s:%d\n", prefix, strings.TrimLeft(line.Text, " \t"), file, line.Line)
	env.log.prevLine = line
}

// insnText is the instruction as the log shows it, with its opcode.
func (env *env) insnText(pc int) string {
	env.printed = pc
	if k := env.kfuncAt(pc); k != nil && env.insns[pc].IsKfuncCall() {
		// As if it were a helper, with its number in the kernel's BTF.
		id := btf.TypeID(0)
		if f := env.kernelFunc(k.Name); f != nil {
			id = env.typeID(f)
		}
		return fmt.Sprintf("(%02x) call %s#%d", uint8(env.insns[pc].Op), k.Name, id)
	}
	if env.insns[pc].IsKfuncCall() && env.aux[pc].ref != nil {
		return fmt.Sprintf("(%02x) call unknown#%d", uint8(env.insns[pc].Op), poisonedKfunc)
	}
	if ins := env.insns[pc]; ins.IsHelperCall() && spec.HelperByID(spec.HelperID(ins.Imm)) == nil {
		return fmt.Sprintf("(%02x) call unknown#%d", uint8(ins.Op), ins.Imm)
	}
	return fmt.Sprintf("(%02x) %s", uint8(env.insns[pc].Op), env.printer.Insn(env.insns, isa.PC(pc)))
}

func (env *env) printInsn() {
	l := &env.log
	if !l.wantInsns() {
		return
	}
	if env.scratchedRegs != 0 || env.scratchedStack != 0 {
		env.printInsnState()
	}
	env.printLine(env.insnIdx, "; ")
	start := len(l.buf)
	l.printf("%d: %s\n", env.insnIdx, env.insnText(env.insnIdx))
	l.insnEnd, l.insnWidth = len(l.buf), len(l.buf)-start
}

func (env *env) scratchReg(r isa.Register) { env.scratchedRegs |= 1 << r }
func (env *env) scratchSlot(spi int)       { env.scratchedStack |= 1 << min(spi, 63) }
func (env *env) scratchAll()               { env.scratchedRegs, env.scratchedStack = 1<<frameRegs-1, ^uint64(0) }

func writeDynptr(sb *strings.Builder, spi int, r *RegState) {
	fmt.Fprintf(sb, " fp%d=dynptr_%s(", -(spi+1)*regSize, r.Dynptr)
	sep := ""
	for _, f := range [...]struct {
		name string
		v    uint32
	}{{"id", r.ID}, {"ref_id", r.RefObjID}, {"dynptr_id", 1}} { // the kernel shows first_slot, which shares its place

		if f.v != 0 {
			fmt.Fprintf(sb, "%s%s=%d", sep, f.name, f.v)
			sep = ","
		}
	}
	sb.WriteByte(')')
}
