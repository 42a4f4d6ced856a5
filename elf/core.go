package elf

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// CO-RE ("compile once, run everywhere"): the compiler writes down, for each
// instruction that depends on the layout of a kernel type, which type and which
// member it used. The loader looks the same member up in the types of the kernel
// at hand and corrects the instruction (tools/lib/bpf/relo_core.c).

// coreKind says which property of a type the instruction holds.
type coreKind uint32

// Kinds of CO-RE relocations (include/uapi/linux/bpf.h, enum bpf_core_relo_kind).
const (
	coreByteOff coreKind = iota
	coreByteSize
	coreFieldExists
	coreSigned
	coreLShift
	coreRShift
	coreTypeIDLocal
	coreTypeIDTarget
	coreTypeExists
	coreTypeSize
	coreEnumvalExists
	coreEnumvalValue
	coreTypeMatches
	coreKinds
)

var coreKindNames = [coreKinds]string{"byte_off", "byte_sz", "field_exists", "signed", "lshift_u64",
	"rshift_u64", "local_type_id", "target_type_id", "type_exists", "type_size", "enumval_exists",
	"enumval_value", "type_matches"}

// String returns libbpf's word for the kind.
func (k coreKind) String() string {
	if k < coreKinds {
		return coreKindNames[k]
	}
	return "kind " + strconv.FormatUint(uint64(k), 10)
}

func (k coreKind) isField() bool   { return k <= coreRShift }
func (k coreKind) isEnumval() bool { return k == coreEnumvalExists || k == coreEnumvalValue }
func (k coreKind) isType() bool    { return k < coreKinds && !k.isField() && !k.isEnumval() }

// coreRelo is one record of .BTF.ext: struct bpf_core_relo.
type coreRelo struct {
	sec    int
	off    uint64 // of the instruction, bytes from the start of the section
	typeID uint32
	access string // "0:1:2": which element, then which members
	kind   coreKind

	res coreResult
	err error // the object is at fault; a target without the member is not an error
}

// coreResult is what a relocation does to its instruction.
type coreResult struct {
	before, after uint64
	validate      bool // the instruction must hold before
	// oldSize and newSize are the member's sizes, for loads and stores; 0 where
	// the access keeps its size.
	oldSize, newSize uint32
	badSize          bool // a load or store cannot be adapted to the new size
	poison           bool
	note             string // why poisoned

	typeName, path string
}

// errPoison is the reason for replacing an instruction by one that the verifier
// refuses: the target lacks what it needs, which is no error as long as the
// program does not get there.
type errPoison struct{ reason string }

func (e *errPoison) Error() string { return e.reason }

// resolveCore computes all relocations in the order of the file.
func (l *loader) resolveCore() {
	if l.ext == nil || len(l.ext.order) == 0 {
		return
	}
	target, err := l.target()
	if err != nil {
		l.extErr = err
		l.errs.add(err)
		return
	}
	c := &coreResolver{local: l.bt.spec, target: target, cands: make(map[uint32][]btf.Type), steps: maxCoreSteps, b: l.b}
	type question struct {
		typeID uint32
		kind   coreKind
		access string
	}
	type answer struct {
		res coreResult
		err error
	}
	known := make(map[question]answer) // programs ask the same again and again
	for _, r := range l.ext.order {
		q := question{r.typeID, r.kind, r.access}
		a, ok := known[q]
		if !ok {
			a.res, a.err = c.resolve(r)
			if a.err != nil {
				a.err = fmt.Errorf("CO-RE %v of %s: %w", r.kind, cmp.Or(shortName(a.res.path), "type "+strconv.Itoa(int(r.typeID))), a.err)
			}
			known[q] = a
		}
		r.res, r.err = a.res, a.err
		if errors.Is(a.err, ErrTooLarge) {
			l.extErr = a.err // the rest is not looked at
			l.errs.add(a.err)
			return
		}
	}
}

const (
	// maxAccess is the longest access string (relo_core.h, BPF_CORE_SPEC_MAX_LEN).
	maxAccess = 64
	// maxAccessLen is more than that many numbers take.
	maxAccessLen = 1024
	// maxCoreSteps bounds the types compared for one object. Comparing follows
	// members, and crafted types have exponentially many ways through them.
	maxCoreSteps = 20_000_000
)

// coreResolver computes relocations of one object against one target.
type coreResolver struct {
	local, target *btf.Spec
	// cands are by local type the target types that may be meant. A relocation
	// that rules some out does so for those that follow.
	cands map[uint32][]btf.Type
	steps int
	b     *budget
}

var errTooComplex = errors.New("comparing the types takes too many steps")

func (c *coreResolver) step() error {
	if c.steps--; c.steps < 0 {
		return fmt.Errorf("%w: %w", errTooComplex, ErrTooLarge)
	}
	return nil
}

// resolve computes one relocation (relo_core.c, bpf_core_calc_relo_insn).
func (c *coreResolver) resolve(r *coreRelo) (coreResult, error) {
	if r.kind >= coreKinds {
		return coreResult{}, unsupported("CO-RE relocation kind %d", r.kind)
	}
	typ, err := c.local.TypeByID(btf.TypeID(r.typeID))
	if err != nil {
		return coreResult{}, formatErr("%v", err)
	}
	base := coreResult{typeName: typ.TypeName()}
	if len(r.access) > maxAccessLen {
		return base, formatErr("access string of %d bytes", len(r.access))
	}
	local, err := c.parseAccess(r, typ)
	if err != nil {
		return base, err
	}
	if err := c.b.take("CO-RE paths", local.textLen(), 1); err != nil {
		return coreResult{}, err
	}
	base.path = local.text(r)
	if r.kind == coreTypeIDLocal {
		base.before, base.after = uint64(r.typeID), uint64(r.typeID)
		return base, nil
	}
	if base.typeName == "" {
		return base, unsupported("relocation of a type without a name")
	}
	cands, ok := c.cands[r.typeID]
	if !ok {
		if cands, err = c.candidates(typ); err != nil {
			return base, err
		}
	}
	var (
		res      coreResult
		found    *coreSpec
		matching []btf.Type
		why      error
	)
	for _, cand := range cands {
		target, err := c.match(local, r.kind, cand)
		if pe, ok := errors.AsType[*errPoison](err); ok {
			why = pe
			continue
		}
		if err != nil {
			return base, err
		}
		one, err := c.calc(r.kind, local, target)
		if err != nil {
			return base, err
		}
		switch {
		case found == nil:
			res, found = one, target
		case target.bits != found.bits:
			return base, formatErr("target types of this name disagree about its offset: %d and %d bits", found.bits, target.bits)
		case one.poison != res.poison || one.after != res.after:
			return base, formatErr("target types of this name disagree about its value: %d and %d", res.after, one.after)
		}
		matching = append(matching, cand)
	}
	if len(matching) > 0 {
		cands = matching
	} else {
		if why == nil {
			why = &errPoison{"the target has no type " + shortName(types.EssentialName(base.typeName))}
		}
		if res, err = c.calc(r.kind, local, nil); err != nil {
			return base, err
		}
		if res.poison || res.after == 0 {
			res.note = why.Error()
		}
	}
	c.cands[r.typeID] = cands
	res.typeName, res.path = base.typeName, base.path
	return res, nil
}

// candidates returns the target types of the same kind and, flavours aside, of the
// same name. What follows a triple underscore is a flavour, which several local
// variants of one kernel type have, and which the kernel's own types may have too
// (libbpf.c, bpf_core_add_cands).
func (c *coreResolver) candidates(local btf.Type) ([]btf.Type, error) {
	list, err := types.Flavours(c.target, local.TypeName())
	if err != nil {
		return nil, fmt.Errorf("target types: %w", err)
	}
	var out []btf.Type
	for _, t := range list {
		if sameKind(local, t) {
			out = append(out, t)
		}
	}
	return out, nil
}
