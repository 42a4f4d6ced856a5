package interp

import "bpfvm/isa"

// Registers returns the registers where the run has stopped: after a run that the
// budget ended they are what the next instruction would have found. Comparers of
// engines reach it through vm.Machine.Caller.
func (st *fastRun) Registers() [isa.NumRegisters]uint64 {
	return [isa.NumRegisters]uint64(st.reg[:])
}
