package spec_test

import (
	"slices"
	"strings"
	"testing"

	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// Where the fields of contexts are, and how large, says the kernel's BTF.
func TestKernelCtxFields(t *testing.T) {
	needKernel(t)
	bs, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("cannot read the kernel's BTF: %v", err)
	}
	for _, c := range spec.CtxLayouts() {
		switch c.Name {
		case "tracepoint", "bpf_syscall_args", "bpf_tracing_args", "lirc_sample", "bpf_raw_tracepoint_args_writable":
			continue // no struct of the kernel
		case "bpf_nf_ctx":
			continue // its fields are pointers there, with other names of types only
		case "bpf_perf_event_data":
			continue // it begins with the registers, which stand in the table one by one
		}
		size, err := structSize(bs, c.Name)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if size != c.Size && (c.Size+7)/8*8 != size && c.Name != "bpf_raw_tracepoint_args" {
			t.Errorf("%s has %d bytes, the table says %d", c.Name, size, c.Size)
		}
		for i := range c.Fields {
			f := &c.Fields[i]
			off, n, err := types.FieldOffset(bs, c.Name, f.Name)
			if err != nil && f.Name != "flow_keys" {
				t.Errorf("%s: %v", c.Name, err)
				continue
			}
			switch c.Name + "." + f.Name {
			case "pt_regs.cs", "pt_regs.ss", "bpf_sk_lookup.remote_port":
				n = f.Size // the table counts the padding
			}
			if off != f.Off || n != f.Size && c.Name != "bpf_raw_tracepoint_args" {
				t.Errorf("%s.%s: %d bytes at %d, the table says %d at %d", c.Name, f.Name, n, off, f.Size, f.Off)
			}
		}
	}
}

func structSize(bs *btf.Spec, name string) (uint32, error) {
	var s *btf.Struct
	if err := bs.TypeByName(name, &s); err != nil {
		return 0, err
	}
	return s.Size, nil
}

// What a load of a pointer gives, in the words of the verifier's log.
func TestKernelCtxPointers(t *testing.T) {
	needKernel(t)
	want := func(f *spec.CtxField) string {
		switch f.Kind {
		case spec.FieldPacket:
			return "pkt"
		case spec.FieldPacketEnd:
			return "pkt_end"
		case spec.FieldPacketMeta:
			return "pkt_meta"
		case spec.FieldPointer:
			switch f.Pointer {
			case spec.SocketPtr:
				return "sock"
			case spec.SocketOrNullPtr:
				return "sock_or_null"
			case spec.SockCommonOrNull:
				return "sock_common_or_null"
			case spec.FlowKeysPtr:
				return "flow_keys"
			case spec.TracepointBuffer:
				return "tp_buffer"
			case spec.TrustedBTFPointer:
				return "trusted_ptr_" + f.Struct
			}
		}
		return "scalar"
	}
	for _, try := range tried {
		ctx := try.typ.Ctx()
		if ctx.Name == "tracepoint" || try.typ == spec.ProgTracing || try.typ == spec.ProgStructOps || try.typ == spec.ProgSyscall {
			continue
		}
		for i := range ctx.Fields {
			f := &ctx.Fields[i]
			at := slices.IndexFunc(try.attach, func(a spec.AttachType) bool {
				_, ok := ctx.CheckAccessAt(try.typ, a, spec.Read, f.Off, f.ElemSize())
				return ok
			})
			if at < 0 {
				continue
			}
			size := map[uint32]asm.Size{1: asm.Byte, 2: asm.Half, 4: asm.Word, 8: asm.DWord}[f.ElemSize()]
			p, err := ebpf.NewProgramWithOptions(&ebpf.ProgramSpec{
				Type: ebpf.ProgramType(try.typ), AttachType: ebpf.AttachType(try.attach[at]), License: "GPL",
				Instructions: append(asm.Instructions{asm.LoadMem(asm.R2, asm.R1, int16(f.Off), size)}, exit(1)...),
			}, ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats | ebpf.LogLevelInstruction})
			if err != nil {
				t.Errorf("%s.%s in %s: %v", ctx.Name, f.Name, try.typ, err)
				continue
			}
			p.Close()
			_, after, _ := strings.Cut(p.VerifierLog, " R2=")
			got, _, _ := strings.Cut(after, "(")
			if got != want(f) {
				t.Errorf("%s.%s in %s gives %q, the table says %q", ctx.Name, f.Name, try.typ, got, want(f))
			}
		}
	}
}

// Types that insist on an attach type of their own refuse one of another type.
func TestKernelAttachChecked(t *testing.T) {
	needKernel(t)
	for _, try := range tried {
		if try.typ == spec.ProgTracing || try.typ == spec.ProgStructOps || try.typ == spec.ProgSyscall {
			continue
		}
		foreign := spec.AttachTraceFentry
		refused := load(try.typ, foreign, "GPL", exit(1)) != nil
		if want := try.typ.Info().AttachChecked; refused != want {
			t.Errorf("%s with attach type %s: refused %v, the table says %v", try.typ, foreign, refused, want)
		}
	}
}

// Programs that may only read the packet are told so when they write.
func TestKernelPacketAccess(t *testing.T) {
	needKernel(t)
	for _, try := range tried {
		ctx := try.typ.Ctx()
		data, end := packetFields(ctx, try.typ)
		if data == nil {
			if try.typ.Info().Packet != spec.PacketNone {
				t.Errorf("%s has packet access and no packet", try.typ)
			}
			continue
		}
		size := map[uint32]asm.Size{4: asm.Word, 8: asm.DWord}[data.Size]
		for _, write := range []bool{false, true} {
			access := asm.LoadMem(asm.R4, asm.R2, 0, asm.Byte)
			if write {
				access = asm.StoreMem(asm.R2, 0, asm.R3, asm.Byte)
			}
			insns := asm.Instructions{
				asm.LoadMem(asm.R2, asm.R1, int16(data.Off), size),
				asm.LoadMem(asm.R3, asm.R1, int16(end.Off), size),
				asm.Mov.Reg(asm.R4, asm.R2),
				asm.Add.Imm(asm.R4, 1),
				asm.JGT.Reg(asm.R4, asm.R3, "out"),
				asm.Mov.Imm(asm.R3, 0),
				access,
				asm.Mov.Imm(asm.R0, 1).WithSymbol("out"),
				asm.Return(),
			}
			got := load(try.typ, try.attach[0], "GPL", insns) == nil
			want := try.typ.Info().Packet == spec.PacketWrite || !write && try.typ.Info().Packet != spec.PacketNone
			if got != want {
				t.Errorf("%s: packet access (write %v): the kernel says %v, the table %v", try.typ, write, got, want)
			}
		}
	}
}

func packetFields(c *spec.CtxLayout, typ spec.ProgType) (data, end *spec.CtxField) {
	for i := range c.Fields {
		f := &c.Fields[i]
		if !f.ReadableBy(typ) {
			continue
		}
		switch f.Kind {
		case spec.FieldPacket:
			data = f
		case spec.FieldPacketEnd:
			end = f
		}
	}
	return data, end
}
