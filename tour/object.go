package tour

import (
	"encoding/binary"
	"fmt"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
)

// sections is the table that the classic loader prints for debugging (bpf_load.c,
// do_load_bpf_file: "section %d:%s data %p size %zd link %d flags %d").
func (b *builder) sections() {
	s := b.stop("The file and its sections", "do_load_bpf_file", "get_sec")
	s.text("%s is an ELF file of %d bytes for machine %s. A loader walks its section headers "+
		"once and keeps what it knows by name or type.", b.in.Name, b.info.Size, b.info.Machine)
	var rows [][]string
	for _, sec := range b.info.Sections {
		if sec.Index == 0 {
			continue
		}
		mark := sec.Role
		if sec.Name == b.prog.Section {
			mark = "<- " + b.prog.Name
		}
		rows = append(rows, []string{fmt.Sprintf("%d:%s", sec.Index, sec.Name), fmt.Sprintf("%#x", sec.Offset),
			fmt.Sprint(sec.Size), fmt.Sprint(sec.Link), fmt.Sprintf("%#x", sec.Flags), mark})
	}
	s.table([]string{"section", ">data", ">size", ">link", ">flags", "what it is"}, rows)
}

func (b *builder) license() {
	s := b.stop("License and version", "do_load_bpf_file", "license_is_gpl_compatible")
	lic := b.file.Section("license")
	if lic == nil {
		s.text("The object has no section \"license\": to the kernel it is proprietary, and helpers " +
			"marked GPL-only are refused.")
	} else {
		gpl := "so it may call helpers marked GPL-only"
		if !spec.GPLCompatible(b.coll.License) {
			gpl = "so helpers marked GPL-only are refused"
		}
		s.code(fmt.Sprintf("license   %s  %q", hexBytes(lic.Data(), 12), b.coll.License))
		s.text("The kernel compares the text with its list of licenses compatible with the GPL: this one %s, %s.",
			map[bool]string{true: "is", false: "is not"}[spec.GPLCompatible(b.coll.License)], gpl)
	}
	if gpl := b.gplHelpers(); len(gpl) > 0 {
		s.text("%s needs it: %s.", b.prog.Name, strings.Join(gpl, ", "))
	}
	if ver := b.file.Section("version"); ver != nil {
		s.code(fmt.Sprintf("version   %s  %s", hexBytes(ver.Data(), 12), versionText(b.coll.Version)))
		s.text("Kernels before 5.0 compared the version of a kprobe program with their own; today nobody looks.")
	} else {
		s.text("There is no section \"version\": only kernels before 5.0 asked kprobe programs for it.")
	}
}

// gplHelpers lists the GPL-only helpers that the program calls.
func (b *builder) gplHelpers() []string {
	var names []string
	seen := map[int32]bool{}
	for _, ins := range b.prog.Insns.All() {
		if !ins.IsHelperCall() || seen[ins.Imm] {
			continue
		}
		seen[ins.Imm] = true
		if h := spec.HelperByID(spec.HelperID(ins.Imm)); h != nil && h.NeedsGPL(b.prog.Type) {
			names = append(names, h.Name)
		}
	}
	return names
}

func versionText(v uint32) string { return fmt.Sprintf("%d.%d.%d", v>>16, v>>8&255, v&255) }

// hexBytes prints up to n bytes.
func hexBytes(p []byte, n int) string {
	s := fmt.Sprintf("% x", p[:min(n, len(p))])
	if len(p) > n {
		s += " .."
	}
	return s
}

func (b *builder) maps() {
	s := b.stop("Maps", "load_elf_maps_section", "load_maps", "bpf(BPF_MAP_CREATE)")
	if len(b.coll.Maps) == 0 {
		s.text("The object defines no maps: its programs remember nothing from one run to the next.")
		return
	}
	var rows [][]string
	for _, m := range b.coll.Maps {
		rows = append(rows, []string{m.Name, m.Section, fmt.Sprintf("%s (%d)", m.Type, m.Type), fmt.Sprint(m.KeySize),
			fmt.Sprint(m.ValueSize), fmt.Sprint(m.MaxEntries), m.Flags.String()})
	}
	b.mapForm(s)
	s.table([]string{"map", "section", "type", ">key", ">value", ">entries", "flags"}, rows)
	s.text("Each becomes one bpf(BPF_MAP_CREATE) with these numbers, and each call answers with a file " +
		"descriptor. bpfvm makes its maps in the arena in the same order.")
}

// mapForm says how the object writes its maps down, and shows the first.
func (b *builder) mapForm(s *Stop) {
	for _, m := range b.coll.Maps {
		if m.Section != "maps" {
			continue
		}
		sec := b.file.Section("maps")
		if sec == nil || len(sec.Data()) < 20 {
			return
		}
		s.text("Section \"maps\" holds a struct bpf_map_def for each map: plain numbers. The first, of %s:", m.Name)
		var lines []string
		for i, f := range []string{"type", "key_size", "value_size", "max_entries", "map_flags"} {
			d := sec.Data()[4*i:]
			lines = append(lines, fmt.Sprintf("+%-2d  %s  %-11s = %d", 4*i, hexBytes(d[:4], 4), f, binary.LittleEndian.Uint32(d)))
		}
		s.code(lines...)
		return
	}
	s.text("Section \".maps\" holds pointers that are never followed: the numbers are in the types of its " +
		"variables, which the loader reads from .BTF. Sections of global variables become array maps of one element.")
}

// maxRelocs bounds the relocations shown.
const maxRelocs = 8

func (b *builder) relocations() {
	s := b.stop("Relocations", "parse_relo_and_apply")
	var lines []string
	n := 0
	for _, r := range b.info.Relocs {
		if r.Program != b.prog.Name || r.PC < 0 {
			continue
		}
		if n++; n > maxRelocs {
			continue
		}
		lines = append(lines, fmt.Sprintf("slot %-4d %s  symbol %s", r.PC, r.Type, r.Symbol),
			fmt.Sprintf("   before  %s  %s", shortHex(r.Before.Hex), r.Before.Text),
			fmt.Sprintf("   after   %s  %s", shortHex(r.After.Hex), r.After.Text))
	}
	switch {
	case n == 0:
		s.text("No instruction of %s refers to anything outside of it.", b.prog.Name)
		return
	case n > maxRelocs:
		lines = append(lines, fmt.Sprintf("and %d more", n-maxRelocs))
	}
	s.text("The compiler cannot know what number a map will have. It leaves a hole in each LDDW, and an entry in "+
		".rel%s: the offset of the instruction and the symbol that it means. The loader writes the map's file "+
		"descriptor there and BPF_PSEUDO_MAP_FD (1) into src_reg.", b.prog.Section)
	s.code(lines...)
	if len(b.prog.Core) > 0 {
		var rows [][]string
		for _, c := range b.prog.Core[:min(len(b.prog.Core), maxRelocs)] {
			rows = append(rows, []string{fmt.Sprint(c.PC), c.Kind, c.Path, fmt.Sprint(c.Before), fmt.Sprint(c.After)})
		}
		s.text("CO-RE relocations adapt offsets to the types of the running kernel:")
		s.table([]string{">slot", "kind", "access", ">compiled", ">here"}, rows)
	}
}

// shortHex spaces the digits of the first slot by bytes: a wide instruction's second
// slot changes only where values are longer than 32 bits.
func shortHex(digits string) string {
	var out strings.Builder
	for i := 0; i+1 < min(len(digits), 2*isa.SlotSize); i += 2 {
		if i > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(digits[i : i+2])
	}
	return out.String()
}

func (b *builder) progType() {
	s := b.stop("From section name to program type", "load_and_attach")
	rule, to, ok := spec.MatchSection(b.prog.Section)
	if !ok {
		s.text("No loader knows the section name %q.", b.prog.Section)
		return
	}
	info := b.prog.Type.Info()
	s.text("The classic loader compares the beginning of the section's name; libbpf has a table of patterns.")
	rows := [][]string{
		{"section", fmt.Sprintf("%q", b.prog.Section)},
		{"matches", rule.String()},
		{"program type", fmt.Sprintf("%s = %d", info.Kernel, b.prog.Type)},
	}
	if to != "" {
		rows = append(rows, []string{"attach to", to})
	}
	if rule.Attach != 0 {
		rows = append(rows, []string{"attach type", rule.Attach.String()})
	}
	if info.Ctx != "" {
		rows = append(rows, []string{"context in r1", "struct " + info.Ctx})
	}
	if info.Returns != "" {
		rows = append(rows, []string{"r0 means", info.Returns})
	}
	if rule.Hook != "" {
		rows = append(rows, []string{"attached by", rule.Hook})
	}
	s.table([]string{"", ""}, rows)
	s.text("The type decides everything that follows: which helpers may be called, what the context looks " +
		"like, and what the kernel makes of r0.")
}
