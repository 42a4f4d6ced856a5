// Package elf reads BPF object files: what clang -target bpf and bpf-gcc write,
// from the samples of Linux 4.x to objects of today. It gives a
// [spec.CollectionSpec], in which every program is linked and every reference has
// a name, and for those who want to look inside, everything on the way there.
//
//	c, err := elf.Load("kmem.bpf.o", elf.Options{Target: kernelTypes})
//
// # What is in an object
//
// A relocatable ELF file is a header, sections, and a table of sections at its
// end. What a section means to a loader follows from its name and flags:
//
//	section                 what is in it                      becomes
//	.text, xdp, kprobe/..   instructions, 8 bytes a slot       programs, subprograms
//	.relxdp, ...            relocations of that section        (see below)
//	.symtab, .strtab        names of places in sections        -
//	maps                    struct bpf_map_def, 20..28 bytes   maps (Linux 4.x)
//	.maps                   zeroes; definitions are in .BTF    maps (libbpf)
//	.data .rodata .bss      variables                          one-element arrays
//	.rodata.str1.1, ...     the compiler's constants           the same
//	.addr_space.1           variables in an arena              the arena's first bytes
//	.struct_ops.link, ...   structures of functions            struct_ops maps
//	license, version        text; a kernel version             every program's
//	.BTF                    C types                            types of keys and values
//	.BTF.ext                what BTF says of instructions      lines, functions, CO-RE
//
// A section's name also says what kind of program it holds: "kprobe/do_unlinkat"
// is a kprobe program for that function ([spec.MatchSection]).
//
// # Relocations
//
// The compiler does not know where maps and functions will be, so it leaves a
// hole in the instruction and a note that names a symbol. The addend, how far from
// the symbol, is in the hole. There are two kinds in code (the names are LLVM's):
//
//	R_BPF_64_64   LDDW   map, variable, address of a function
//	R_BPF_64_32   call   subprogram or kernel function
//
//	before   18 01 00 00 00 00 00 00  00 00 00 00 00 00 00 00   r1 = 0 ll
//	symbol   counts, in section .maps
//	after    18 11 00 00 00 00 00 00  00 00 00 00 00 00 00 00   r1 = map[counts]
//
// After linking, the source field of the instruction has the kind
// ([isa.PseudoMapFD] here) and the program's Refs have the name; whoever creates
// the map puts its descriptor into the immediate. For variables the second half
// of the LDDW is the offset in the section's map.
//
// A call to a static function names the section ".text" and has the place in its
// immediate, target/8 - 1; a call within a section needs no relocation, its
// immediate is the distance. Either way the program gets the subprogram's code
// appended when a call to it is first met, and the distance corrected, as libbpf
// does it.
//
// Relocations of section .maps fill prog arrays and maps of maps with their
// initial values, those of .struct_ops name the program of each member. Those of
// other data hold addresses that no loader resolves.
//
// # CO-RE
//
// For a member of a kernel type the compiler writes a relocation into .BTF.ext:
// this instruction holds the offset of task_struct's member 7. The loader finds
// the member's name in the object's BTF, looks that up in the types of the target
// kernel and corrects the instruction: the offset, and for loads and stores the
// size. What the target lacks does not stop the load; the instruction becomes a
// call of helper 0xbad2310, which the verifier refuses if the program can get
// there. [spec.CoreReloc] tells what was done and why.
//
// # Distrust
//
// Objects come from anywhere. Every offset and size is checked before use, types
// are checked before they are parsed, and whatever is copied out of the file is
// charged to a budget that grows with the file's size, so that a small file
// cannot describe a large result. Faults are returned, never panicked: an
// [ErrorList] of [SectionError], [MapError] and [ProgramError], each with section
// and offset. One bad program does not hide the good ones: [File.Collection]
// returns both what can be used and the list of what cannot.
//
// Big-endian objects are refused by name; such errors wrap
// [errors.ErrUnsupported].
//
// # Writing
//
// [Write] makes an object of an assembled source ([isa.Assemble]) that libbpf and
// bpftool can read; [WriteClassic] one with the maps section of Linux 4.x.
package elf
