// Package tour tells the life of one program by living it: from the bytes of its
// object file to one firing of its event, stop by stop, with what really happened
// to this program and the kernel's functions as signposts.
//
//	 1 sections       get_sec                       the table of the file
//	 2 license        do_load_bpf_file              license and version
//	 3 maps           load_elf_maps_section         what is asked for, what is made
//	 4 relocations    parse_relo_and_apply          instructions before and after
//	 5 program type   load_and_attach               what the section's name says
//	 6 the load       bpf(BPF_PROG_LOAD)            the attributes
//	 7 instructions   bpf_prog_load                 struct bpf_insn, bit by bit
//	 8 verifier       bpf_check                     the verdict, the first states
//	 9 machine code   do_jit                        eBPF beside x86-64
//	10 name           bpf_prog_kallsyms_add         the symbol, and its tag
//	11 event          perf_event_open ..            where the program waits
//	12 firing         kprobe_dispatcher ..          context in, instructions, r0 out
//	13 run array      BPF_PROG_RUN_ARRAY            all programs, their results ANDed
//	14 afterwards     maps, trace_pipe, run_cnt     what is left behind
//
// Names of functions are those of samples/bpf/bpf_load.c of Linux 4.x for the loader
// (libbpf does the same under other names) and of Linux 6.x for the kernel. [Build]
// makes a [Tour], plain data; [Tour.WriteText] and [Tour.WriteHTML] print it.
package tour
